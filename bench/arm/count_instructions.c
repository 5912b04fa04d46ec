/* A TCG plugin for QEMU 7.2: how many instructions the guest has executed, at marks that the guest sets.
 *
 *   qemu-aarch64 -plugin count_instructions.so,out=FILE ...
 *
 * The guest sets mark k by closing the descriptor MARK + k, which no process can have open. Each mark, and the
 * end of the guest, appends a line to FILE:  k INSTRUCTIONS DOT_PRODUCTS  (-1 for the end)
 * DOT_PRODUCTS are the AArch64 instructions SDOT and UDOT, vector and by element: the sign that a kernel for int8
 * of Armv8.2 runs. Counters are not atomic, so the guest should compute in one thread.
 *
 * Debian packs no qemu-plugin.h; what is used of it is declared here. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MARK 0x40000000u

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct {
    const char *target_name;
    struct { int min, cur; } version;
    bool system_emulation;
    union { struct { int smp_vcpus, max_vcpus; } system; };
} qemu_info_t;
enum { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t,
    void (*)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
             uint64_t, uint64_t));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);

EXPORT int qemu_plugin_version = 1;

static uint64_t instructions, dot_products;
static FILE *out;
static bool aarch64;

static void print_line(long mark)
{
    fprintf(out, "%ld %" PRIu64 " %" PRIu64 "\n", mark, instructions, dot_products);
    fflush(out);
}

/* Arm Architecture Reference Manual, C7.2: SDOT and UDOT differ in bit 29. */
static bool is_dot_product(const struct qemu_plugin_insn *instruction)
{
    uint32_t word;

    if (!aarch64 || qemu_plugin_insn_size(instruction) != sizeof word)
        return false;
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
    return (word & 0x9FE0FC00) == 0x0E809400 || (word & 0x9FC0F400) == 0x0F80E000;
}

static void on_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    size_t size = qemu_plugin_tb_n_insns(block);
    uint64_t dots = 0;

    for (size_t i = 0; i < size; i++)
        dots += is_dot_product(qemu_plugin_tb_get_insn(block, i));
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &instructions, size);
    if (dots)
        qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &dot_products, dots);
}

static void on_system_call(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                           uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    int64_t close = aarch64 ? 57 : 6;

    if (number == close && a1 >= MARK && a1 < MARK + 0x10000)
        print_line((long)(a1 - MARK));
}

static void on_exit_of_guest(qemu_plugin_id_t id, void *nothing)
{
    print_line(-1);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out) {
        fprintf(stderr, "count_instructions: pass out=FILE, and a FILE that can be written\n");
        return -1;
    }
    aarch64 = !strcmp(info->target_name, "aarch64");
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
    return 0;
}
