"""How much of the machine this process may use, and how many images it works on at a time."""

from __future__ import annotations

import os

# A picture takes up to 250 MB while it is decoded (`edgesim.image_limits.MAX_BYTES`), its file up to 200: one
# at a time is what a board of 512 MB or 1 GB can spare. Our choice.
_MEMORY_A_JOB = 10**9


def usable_cores() -> int:
    """Return how many cores this process may use: those that it is kept off are not counted."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_jobs() -> int:
    """Return how many images to read at a time: one for each core, but for each gigabyte of memory, too."""
    memory = _memory_bytes()
    by_memory = usable_cores() if memory is None else memory // _MEMORY_A_JOB
    return max(1, min(usable_cores(), by_memory))


def _memory_bytes() -> int | None:
    """Return how much memory the machine has, None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
