"""The resident memory of processes, as Linux counts it; imports next to nothing, as it is measured too."""

from __future__ import annotations

from pathlib import Path


def resident_mib(pid: int | str) -> float | None:
    """Return the resident memory of a process in MiB, None if it has ended."""
    return _status_mib(pid, "VmRSS")


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB.

    Unlike `ru_maxrss` it does not begin with what the process that started this one had resident.
    """
    return _status_mib("self", "VmHWM") or 0.0


def _status_mib(pid: int | str, key: str) -> float | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A process that has ended but was not waited for has a status without memory.
    _, found, rest = status.partition(f"{key}:")
    return int(rest.split()[0]) / 1024 if found else None
