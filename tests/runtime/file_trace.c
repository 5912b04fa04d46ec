/* Records what a process does to the files below a folder, and can kill it before any such step.

   Compiled by tests/runtime/file_trace.py and preloaded (LD_PRELOAD). Each call that changes a file or makes
   a change durable is performed, and then written to a log:

       operation \t path \t other path \t offset \t length \n    and for `write` the bytes written

   Paths are those of the descriptors at the time of the call. A counted call may instead be the last thing
   that the process does not do: it is killed before. A call that fails or changes nothing does not count. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static int log_fd = -1;
static long steps_left = -1;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* Start a log at `path` of what happens below `folder`; 0 and above: so many steps, then death. */
void file_trace_start(const char *folder, const char *path, long steps) {
    snprintf(root, sizeof root, "%s", folder);
    steps_left = steps;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0) abort();
}

__attribute__((constructor)) static void start_by_environment(void) {
    const char *folder = getenv("FILE_TRACE_ROOT"), *path = getenv("FILE_TRACE_LOG");
    if (folder && path) file_trace_start(folder, path, -1);
}

static int below_root(const char *path) {
    size_t length = strlen(root);
    if (log_fd < 0 || strncmp(path, root, length)) return 0;
    return !path[length] || path[length] == '/' || root[length - 1] == '/';
}

/* The path of a descriptor, if it is a file or folder below the root. */
static int path_of(int fd, char *path) {
    char link[64];
    struct stat status;
    if (log_fd < 0 || fd == log_fd || fstat(fd, &status)) return 0;
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below_root(path);
}

/* The path that a name stands for, if it is below the root. */
static int absolute(int folder, const char *name, char *path) {
    char base[PATH_MAX] = "", link[64] = "/proc/self/cwd";
    if (log_fd < 0) return 0;
    if (name[0] != '/') {
        if (folder != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        if (readlink(link, base, sizeof base - 1) < 0) return 0;
    }
    int length = snprintf(path, PATH_MAX, "%s%s%s", base, *base ? "/" : "", name);
    return length < PATH_MAX && below_root(path);
}

/* Held around call and log, so that the log has the order of the calls. */
static void begin(void) {
    pthread_mutex_lock(&guard);
    if (steps_left == 0) raise(SIGKILL);
    if (steps_left > 0) steps_left--;
}

static void end(int failed) {
    if (failed && steps_left >= 0) steps_left++;
    pthread_mutex_unlock(&guard);
}

static void emit(const void *bytes, size_t length) {
    if (syscall(SYS_write, log_fd, bytes, length) != (ssize_t)length) abort();
}

static void record(const char *operation, const char *path, const char *other, long long offset, size_t length) {
    char line[2 * PATH_MAX + 128];
    int size = snprintf(line, sizeof line, "%s\t%s\t%s\t%lld\t%zu\n", operation, path, other, offset, length);
    emit(line, (size_t)size);
}

/* Not a step: what the traced program wants to find in the log, such as "committed". */
void file_trace_mark(const char *text) {
    pthread_mutex_lock(&guard);
    if (log_fd >= 0) record("mark", text, "", 0, 0);
    pthread_mutex_unlock(&guard);
}

static off_t place(int fd) {
    struct stat status;
    if (fcntl(fd, F_GETFL) & O_APPEND) return fstat(fd, &status) ? -1 : status.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

#define TRACED_WRITE(fd, where, call, copy) \
    char path[PATH_MAX]; \
    if (!path_of(fd, path)) return call; \
    begin(); \
    off_t offset = where; \
    ssize_t done = call; \
    if (done >= 0) { \
        record("write", path, "", offset, (size_t)done); \
        copy; \
    } \
    end(done < 0); \
    return done

ssize_t write(int fd, const void *bytes, size_t length) {
    NEXT(write);
    TRACED_WRITE(fd, place(fd), next(fd, bytes, length), emit(bytes, (size_t)done));
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    NEXT(pwrite);
    TRACED_WRITE(fd, at, next(fd, bytes, length, at), emit(bytes, (size_t)done));
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    NEXT(pwrite64);
    TRACED_WRITE(fd, at, next(fd, bytes, length, at), emit(bytes, (size_t)done));
}

static void emit_parts(const struct iovec *parts, int count, size_t left) {
    for (int i = 0; i < count && left; i++) {
        size_t length = parts[i].iov_len < left ? parts[i].iov_len : left;
        emit(parts[i].iov_base, length);
        left -= length;
    }
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(writev);
    TRACED_WRITE(fd, place(fd), next(fd, parts, count), emit_parts(parts, count, (size_t)done));
}

#define TRACED_ON_FD(operation, fd, size, call) \
    char path[PATH_MAX]; \
    if (!path_of(fd, path)) return call; \
    begin(); \
    int result = call; \
    if (!result) record(operation, path, "", size, 0); \
    end(result); \
    return result

int fsync(int fd) {
    NEXT(fsync);
    TRACED_ON_FD("sync", fd, 0, next(fd));
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    TRACED_ON_FD("sync", fd, 0, next(fd));
}

int ftruncate(int fd, off_t size) {
    NEXT(ftruncate);
    TRACED_ON_FD("truncate", fd, size, next(fd, size));
}

int ftruncate64(int fd, off64_t size) {
    NEXT(ftruncate64);
    TRACED_ON_FD("truncate", fd, size, next(fd, size));
}

#define TRACED_ON_PATH(operation, folder, name, call) \
    char path[PATH_MAX]; \
    if (!absolute(folder, name, path)) return call; \
    begin(); \
    int result = call; \
    if (!result) record(operation, path, "", 0, 0); \
    end(result); \
    return result

int unlink(const char *name) {
    NEXT(unlink);
    TRACED_ON_PATH("unlink", AT_FDCWD, name, next(name));
}

int unlinkat(int folder, const char *name, int flags) {
    NEXT(unlinkat);
    TRACED_ON_PATH(flags & AT_REMOVEDIR ? "rmdir" : "unlink", folder, name, next(folder, name, flags));
}

int rmdir(const char *name) {
    NEXT(rmdir);
    TRACED_ON_PATH("rmdir", AT_FDCWD, name, next(name));
}

int mkdir(const char *name, mode_t mode) {
    NEXT(mkdir);
    TRACED_ON_PATH("mkdir", AT_FDCWD, name, next(name, mode));
}

int rename(const char *name, const char *other) {
    NEXT(rename);
    char path[PATH_MAX], target[PATH_MAX];
    if (!absolute(AT_FDCWD, name, path) || !absolute(AT_FDCWD, other, target)) return next(name, other);
    begin();
    int result = next(name, other);
    if (!result) record("rename", path, target, 0, 0);
    end(result);
    return result;
}

/* Opening counts when it makes or empties a file. */
static int traced_open(int (*call)(int, const char *, int, mode_t), int folder, const char *name, int flags,
                       mode_t mode) {
    char path[PATH_MAX];
    struct stat status;
    if (!(flags & (O_CREAT | O_TRUNC)) || !absolute(folder, name, path)) return call(folder, name, flags, mode);
    begin();
    int there = !stat(path, &status);
    int fd = call(folder, name, flags, mode);
    const char *call_name = !there ? "create" : flags & O_TRUNC && S_ISREG(status.st_mode) ? "truncate" : NULL;
    if (fd >= 0 && call_name) record(call_name, path, "", 0, 0);
    end(fd < 0 || !call_name);
    return fd;
}

static int raw_open(int folder, const char *name, int flags, mode_t mode) {
    return (int)syscall(SYS_openat, folder, name, flags, mode);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *name, int flags, ...) {
    MODE(flags);
    return traced_open(raw_open, AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...) {
    MODE(flags);
    return traced_open(raw_open, AT_FDCWD, name, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *name, int flags, ...) {
    MODE(flags);
    return traced_open(raw_open, folder, name, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...) {
    MODE(flags);
    return traced_open(raw_open, folder, name, flags | O_LARGEFILE, mode);
}
