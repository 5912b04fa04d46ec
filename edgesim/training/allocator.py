"""How the C library deals with freed memory, while an encoder is trained on the CPU."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER, _LARGEST = -1, 2**30


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, up to a gigabyte apiece, for its next use.

    Every step of a training run allocates the same activations. glibc gives such large ones back to the
    system when they are freed, which then has to clear each page of the next step's. Returns False where it
    is another C library, and nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _NEVER))
