"""The peak memory of an emulated process: its own, without the emulator's.

QEMU's user emulation lays all memory of the guest into one window of its address space when it is told where
(options -B and -R). What is resident inside that window is what the guest would have resident on a board.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

WINDOW_BASE = 0x2000_0000_0000
WINDOW_SIZE = 0x1_0000_0000
# Debian's name of an architecture -> the options. The window of a 32-bit guest has that size by itself.
WINDOW_OPTIONS = {
    "arm64": ("-B", hex(WINDOW_BASE), "-R", hex(WINDOW_SIZE)),
    "armhf": ("-B", hex(WINDOW_BASE)),
}
_INTERVAL = 0.02
_RANGE = re.compile(r"([0-9a-f]+)-[0-9a-f]+ ")


def resident_kib(smaps: Iterable[str]) -> int:
    """Return how many KiB inside the guest's window are resident, by the lines of /proc/PID/smaps."""
    total, inside = 0, False
    for line in smaps:
        if found := _RANGE.match(line):
            inside = WINDOW_BASE <= int(found[1], 16) < WINDOW_BASE + WINDOW_SIZE
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


def peak_resident_kib(process: subprocess.Popen[bytes]) -> int:
    """Watch a process until it ends; returns the largest resident memory of the guest that was seen, in KiB.

    A peak of less than 20 ms can be missed: some millions of guest instructions.
    """
    peak = 0
    while process.poll() is None:
        try:
            with Path(f"/proc/{process.pid}/smaps").open() as smaps:
                peak = max(peak, resident_kib(smaps))
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(_INTERVAL)
    process.wait()
    return peak


def measure(command: Sequence[str | Path], environment: dict[str, str]) -> int:
    """Run a command, its QEMU with `WINDOW_OPTIONS`, output discarded; returns the guest's peak in KiB."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    peak = peak_resident_kib(process)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with status {process.returncode}")
    return peak
