"""The Arm cores of the Raspberry Pi, and the system files by which inference engines recognise them.

onnxruntime, LiteRT and XNNPACK choose their kernels by `/proc/cpuinfo` and `/sys/devices/system/cpu`. Under
QEMU's user emulation both would be the host's: LiteRT 2.3 dies of that when it loads a model.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

_CORES_PER_CHIP = 4
_ARMV8 = "fp asimd evtstrm crc32 cpuid"
_ARMV8_2 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)
_ARMV7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"


@dataclasses.dataclass(frozen=True)
class Core:
    """One core, as the kernel describes it.

    Attributes:
        name: as QEMU's option `-cpu` takes it.
        board: a board that has it.
        architecture: Debian's name of it, `arm64` or `armhf`.
        part, variant, revision: of the implementer Arm, see its technical reference manual.
        features: the kernel's words, with spaces between.
        clock_khz: lowest and highest clock of that board.
    """

    name: str
    board: str
    architecture: str
    part: str
    variant: str
    revision: int
    features: str
    clock_khz: tuple[int, int]

    def cpuinfo(self) -> str:
        """Return the text of /proc/cpuinfo."""
        fields = {
            "BogoMIPS": "38.40",
            "Features": self.features,
            "CPU implementer": "0x41",
            "CPU architecture": "8" if self.architecture == "arm64" else "7",
            "CPU variant": self.variant,
            "CPU part": self.part,
            "CPU revision": str(self.revision),
        }
        lines = "".join(f"{key}\t: {value}\n" for key, value in fields.items())
        return "".join(f"processor\t: {number}\n{lines}\n" for number in range(_CORES_PER_CHIP))

    def system_files(self) -> dict[str, str]:
        """Return path, relative to the root, -> text of every system file that engines read."""
        all_cores = f"0-{_CORES_PER_CHIP - 1}"
        cpus = "sys/devices/system/cpu"
        files = {f"{cpus}/{name}": all_cores for name in ("possible", "present", "online")}
        files[f"{cpus}/kernel_max"] = str(_CORES_PER_CHIP - 1)
        for number in range(_CORES_PER_CHIP):
            low, high = self.clock_khz
            files |= {
                f"{cpus}/cpu{number}/cpufreq/cpuinfo_min_freq": str(low),
                f"{cpus}/cpu{number}/cpufreq/cpuinfo_max_freq": str(high),
                f"{cpus}/cpu{number}/topology/physical_package_id": "0",
                f"{cpus}/cpu{number}/topology/core_id": str(number),
                f"{cpus}/cpu{number}/topology/core_siblings_list": all_cores,
                f"{cpus}/cpu{number}/topology/package_cpus_list": all_cores,
                f"{cpus}/cpu{number}/topology/cluster_cpus_list": all_cores,
                f"{cpus}/cpu{number}/topology/thread_siblings_list": str(number),
            }
        return {"proc/cpuinfo": self.cpuinfo(), **{path: f"{text}\n" for path, text in files.items()}}


def lay_prefix(root: Path, core: Core, prefix: Path) -> Path:
    """Make `prefix`, a file system root for QEMU's option `-L`: links to `root`, and the core's system files.

    QEMU looks for every path that the guest opens below the prefix first. One prefix a core, so that several
    cores can run at a time from one unpacked root. What is there already stays, as guests may be reading it.
    """
    prefix.mkdir(parents=True, exist_ok=True)
    for entry in root.iterdir():
        link = prefix / entry.name
        if entry.name not in ("proc", "sys", "dev", "tmp") and not link.is_symlink():
            link.symlink_to(entry.resolve())
    for name, text in core.system_files().items():
        path = prefix / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return prefix


_CORES = (
    # name, board, architecture, part, variant, revision, features, clocks
    Core("cortex-a53", "Raspberry Pi 3, Zero 2 W", "arm64", "0xd03", "0x0", 4, _ARMV8, (600_000, 1_000_000)),
    Core("cortex-a72", "Raspberry Pi 4", "arm64", "0xd08", "0x0", 3, _ARMV8, (600_000, 1_500_000)),
    Core("cortex-a76", "Raspberry Pi 5", "arm64", "0xd0b", "0x4", 1, _ARMV8_2, (1_500_000, 2_400_000)),
    # QEMU 7.2 has no 32-bit mode of the Cortex-A53.
    Core("cortex-a7", "Raspberry Pi 2, 32-bit", "armhf", "0xc07", "0x0", 5, _ARMV7, (600_000, 900_000)),
)
CORES = {core.name: core for core in _CORES}
ARM64_CORES = tuple(core for core in CORES.values() if core.architecture == "arm64")
