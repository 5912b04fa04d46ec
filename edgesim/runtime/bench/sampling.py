"""Reading the board's sensors at short intervals while something else runs."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from edgesim.bench_figures import BoardState
from edgesim.runtime.bench.board import Board
from edgesim.runtime.bench.energy import PowerMeter


class Sampler:
    """Reads them in a thread of its own from `with` to its end, at both ends too.

    Args:
        board: whose state is read.
        meter: its sensor of power, if it has one.
        interval: seconds between two readings.
    """

    def __init__(self, board: Board, meter: PowerMeter | None, interval: float) -> None:
        self._board, self._meter, self._interval = board, meter, interval
        self._states: list[tuple[float, BoardState]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._read()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._read()

    def state_near(self, instant: float) -> BoardState:
        """Return the state that was read nearest to an instant of `time.perf_counter`."""
        _, state = min(self._states, key=lambda reading: abs(reading[0] - instant))
        return state

    def watts(self) -> float | None:
        """Return the mean power, None where the board does not tell."""
        return None if self._meter is None else self._meter.watts()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            self._read()

    def _read(self) -> None:
        self._states.append((time.perf_counter(), self._board.state()))
        if self._meter is not None:
            self._meter.sample()
