"""What `edgesim bench` is asked to measure."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgesim.capacity import usable_cores
from edgesim.errors import UsageError
from edgesim.profiles import DeviceProfile

# More threads than the largest board has cores use up its processes; a day is the longest load. Our choice.
MOST_THREADS = 64
LONGEST = 24 * 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """What is to be measured.

    Attributes:
        bundle: as `edgesim.runtime.embedder.open_bundle` takes it.
        float_bundle: the same encoder unquantised, to compare with; or None.
        index: folder of the index that queries search; None to end them with the embedding.
        profile: the device whose budgets are judged by, or None.
        engine: of the queries; None for the one that the other commands take.
        threads: on how many the engines are compared.
        seconds: how long each figure is measured.
        sustained: seconds of the sustained load; 0 for none.

    Raises:
        UsageError: a number that nothing can be measured by.
    """

    bundle: str
    float_bundle: str | None = None
    index: Path | None = None
    profile: DeviceProfile | None = None
    engine: str | None = None
    threads: tuple[int, ...]
    seconds: float
    sustained: float = 0.0

    def __post_init__(self) -> None:
        if not self.threads or not all(1 <= number <= MOST_THREADS for number in self.threads):
            numbers = ",".join(map(str, self.threads))
            raise UsageError(
                f"threads: expected numbers from 1 to {MOST_THREADS} such as 1,2,4, got {numbers!r}"
            )
        if not 0 < self.seconds <= LONGEST:
            raise UsageError(f"seconds: expected more than 0 and at most {LONGEST:g}, got {self.seconds:g}")
        if not 0 <= self.sustained <= LONGEST:
            raise UsageError(
                f"sustained: expected at most {LONGEST:g}, or 0 for none, got {self.sustained:g}"
            )


def default_threads() -> tuple[int, ...]:
    """Return 1, 2 and 4, as far as this process may use so many cores."""
    return tuple(number for number in (1, 2, 4) if number <= usable_cores())
