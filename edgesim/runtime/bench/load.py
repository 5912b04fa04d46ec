"""Inferences back to back: how many a second at first, and how many once the board has become warm."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from edgesim.bench_figures import Energy, EngineRow, Load, Window
from edgesim.runtime.bench.board import Board
from edgesim.runtime.bench.energy import PowerMeter
from edgesim.runtime.bench.sampling import Sampler
from edgesim.runtime.bench.timing import WINDOWS, repeat, timed

# Of a sustained load, in seconds. Our choice.
_SUSTAINED_WINDOW_S = 5.0


def run_load(
    kind: str,
    row: EngineRow,
    infer: Callable[[], object],
    seconds: float,
    board: Board,
    meter: PowerMeter | None,
    advance: Callable[[float], object],
) -> Load:
    """Run inferences for some time, cut into windows, and read the board's sensors meanwhile.

    Args:
        kind: `burst`, of five windows; or `sustained`, of windows of 5 seconds.
        row: what `infer` runs on.
        infer: one inference.
        seconds: how long.
        board, meter: what is read.
        advance: called after each window with its seconds.
    """
    count = WINDOWS if kind == "burst" else max(WINDOWS, round(seconds / _SUSTAINED_WINDOW_S))
    length = seconds / count
    before = board.state()
    runs: list[tuple[float, float, list[float]]] = []
    with Sampler(board, meter, length / 2) as sampler:
        for _ in range(count):
            start = time.perf_counter()
            taken = [milliseconds for (milliseconds,) in repeat(lambda: (timed(infer),), length)]
            runs.append((start, time.perf_counter(), taken))
            advance(length)
    windows = tuple(
        Window(
            start_s=start - runs[0][0],
            seconds=end - start,
            per_second=len(taken) / (end - start),
            p50_ms=statistics.median(taken),
            board=sampler.state_near(end),
        )
        for start, end, taken in runs
    )
    inferences, elapsed = sum(len(taken) for _, _, taken in runs), runs[-1][1] - runs[0][0]
    return Load(
        kind=kind,
        engine=row.engine,
        precision=row.precision,
        threads=row.threads,
        per_second=statistics.median(window.per_second for window in windows),
        before=before,
        windows=windows,
        energy=_energy(sampler.watts(), elapsed / inferences, meter),
    )


def _energy(watts: float | None, seconds_per_inference: float, meter: PowerMeter | None) -> Energy | None:
    if watts is None or meter is None:
        return None
    return Energy(source=meter.source, watts=watts, joules_per_inference=watts * seconds_per_inference)
