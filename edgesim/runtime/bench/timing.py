"""Measuring again and again, in windows, and what there is to say of the measurements."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from edgesim.bench_figures import Timing

# As MLPerf Tiny does, whose results are the median of five runs. Its runs last 10 seconds at least.
WINDOWS = 5
# Measurements that a report keeps: enough for a histogram, and a few kilobytes of JSON.
KEPT_SAMPLES = 500
# Up to this long, and never longer than a window: caches fill, clocks rise. Our choice.
_WARM_UP_S = 0.5

# One go: the milliseconds that each of its stages took.
Step = Callable[[], Sequence[float]]


def timed(action: Callable[[], object]) -> float:
    """Do something; return the milliseconds that it took."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def warm_up(step: Step, seconds: float) -> list[Sequence[float]]:
    """Repeat a step before it is measured for `seconds`; return what the steps returned, one at least."""
    return repeat(step, min(_WARM_UP_S, seconds / WINDOWS))


def run_windows(step: Step, seconds: float, windows: int = WINDOWS) -> list[list[Sequence[float]]]:
    """Repeat a step for `seconds` in windows; return what the steps returned, one a window at least."""
    return [repeat(step, seconds / windows) for _ in range(windows)]


def repeat(step: Step, seconds: float) -> list[Sequence[float]]:
    """Repeat a step for `seconds`, once at least; return what the steps returned."""
    end = time.perf_counter() + seconds
    taken = [step()]
    while time.perf_counter() < end:
        taken.append(step())
    return taken


def stage_timings(windows: Sequence[Sequence[Sequence[float]]]) -> list[Timing]:
    """Return the timing of each stage, from what `run_windows` returned."""
    stages = range(len(windows[0][0]))
    return [summarise([[taken[stage] for taken in window] for window in windows]) for stage in stages]


def summarise(windows: Sequence[Sequence[float]]) -> Timing:
    """Return what there is to say of measurements in milliseconds, in windows of one at least."""
    samples = np.concatenate([np.asarray(window, dtype=np.float64) for window in windows])
    p50, p90, p99 = np.percentile(samples, (50, 90, 99))
    kept = samples[np.linspace(0, len(samples) - 1, min(len(samples), KEPT_SAMPLES)).round().astype(int)]
    return Timing(
        count=len(samples),
        mean_ms=float(samples.mean()),
        sd_ms=float(samples.std()),
        min_ms=float(samples.min()),
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        max_ms=float(samples.max()),
        first_ms=float(samples[0]),
        last_ms=float(samples[-1]),
        per_second=statistics.median(len(window) * 1000 / sum(window) for window in windows),
        windows_ms=tuple(statistics.median(window) for window in windows),
        samples_ms=tuple(round(float(sample), 4) for sample in kept),
    )
