"""How much of the machine there is for this process: cores and memory."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many cores this process may use: those that it is kept off are not counted."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Return how much memory the machine has, None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
