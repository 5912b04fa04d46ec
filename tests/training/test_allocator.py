"""Freed memory is kept: its second use costs no page faults."""

import ctypes

from edgesim.training import allocator
from tests.helpers import run_python

COUNT_FAULTS = """
import resource, sys
from edgesim.training.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(100_000_000)[::4096] = b"x" * (100_000_000 // 4096 + 1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def test_memory_that_was_freed_is_used_again_without_asking_the_system():
    given_back, kept = (int(run_python("-c", COUNT_FAULTS, how).stdout) for how in ("given back", "kept"))
    assert kept < 0.1 * given_back


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert allocator.keep_freed_memory() is False
