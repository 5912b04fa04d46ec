"""Loads: windows, throughput, and the board beside it."""

import pytest

from edgesim.bench_figures import BoardState
from edgesim.runtime.bench.load import run_load
from tests.bench_reports import a_row


class FakeBoard:
    """Becomes a degree warmer with each look."""

    def __init__(self) -> None:
        self.temperature = 40.0

    def state(self) -> BoardState:
        self.temperature += 1.0
        return BoardState(clock_mhz=None, temperature_c=self.temperature, flags=None, flags_since_boot=None)


class FakeMeter:
    source = "fake"

    def __init__(self) -> None:
        self.samples = 0

    def sample(self) -> None:
        self.samples += 1

    def watts(self) -> float:
        return 4.0


def test_a_load_is_cut_into_windows_and_the_board_is_read():
    done, passed, meter = [], [], FakeMeter()
    load = run_load(
        "burst", a_row(threads=2), lambda: done.append(0), 0.05, FakeBoard(), meter, passed.append
    )
    assert (load.kind, load.engine, load.precision, load.threads) == ("burst", "litert", "int8", 2)
    assert len(load.windows) == 5
    assert sum(passed) == pytest.approx(0.05)
    assert load.before.temperature_c == 41.0
    temperatures = [window.board.temperature_c for window in load.windows]
    assert 41.0 < temperatures[0] < temperatures[-1]
    assert temperatures == sorted(temperatures)
    counted = sum(window.per_second * window.seconds for window in load.windows)
    assert counted == pytest.approx(len(done))
    assert load.per_second == sorted(window.per_second for window in load.windows)[2]
    ends = [window.start_s + window.seconds for window in load.windows]
    assert load.windows[0].start_s == 0.0
    assert all(end <= after.start_s for end, after in zip(ends[:-1], load.windows[1:], strict=True))
    assert meter.samples >= 2
    assert (load.energy.source, load.energy.watts) == ("fake", 4.0)
    assert load.energy.joules_per_inference == pytest.approx(4.0 * ends[-1] / len(done), rel=0.01)


@pytest.mark.parametrize(("kind", "seconds", "windows"), [("burst", 300.0, 5), ("sustained", 300.0, 60)])
def test_windows_of_a_sustained_load_are_5_seconds_long(monkeypatch, kind, seconds, windows):
    lengths = []

    def repeat(step, length):
        lengths.append(length)
        return [step()]

    monkeypatch.setattr("edgesim.runtime.bench.load.repeat", repeat)
    load = run_load(kind, a_row(), lambda: None, seconds, FakeBoard(), None, lambda passed: None)
    assert lengths == [seconds / windows] * windows
    assert (len(load.windows), load.energy) == (windows, None)
