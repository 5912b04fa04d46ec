"""The power that a board takes, where it has a sensor for it.

rapl    Intel and AMD count the energy of the processor package; the files are root's alone by default
pmic    a Raspberry Pi 5 measures current and voltage of its rails; what hangs on its USB is not in it
"""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from pathlib import Path
from typing import Protocol

from edgesim.runtime.bench.board import Board


class PowerMeter(Protocol):
    """A sensor; `sample` is called at short intervals while the load runs.

    Attributes:
        source: its name in the report.
    """

    source: str

    def sample(self) -> None:
        """Take a reading."""
        ...

    def watts(self) -> float | None:
        """Return the mean power over the readings, None if there were too few."""
        ...


def open_power_meter(board: Board, root: Path = Path("/")) -> PowerMeter | None:
    """Return the board's sensor, None if it has none or does not let us read it."""
    rapl = Rapl(root)
    if rapl.readable:
        return rapl
    pmic = Pmic(board)
    return pmic if pmic.readable else None


class Rapl:
    """The energy counters of the processor packages."""

    source = "rapl package"

    def __init__(self, root: Path = Path("/")) -> None:
        # Zones below a package, of its cores and its memory, have two numbers.
        zones = sorted(root.glob("sys/class/powercap/intel-rapl:?"))
        self._zones = [zone for zone in zones if _read(zone / "name").startswith("package")]
        self._joules = 0.0
        self._last: list[int] = []
        self._start = self._end = 0.0

    @property
    def readable(self) -> bool:
        """Whether there is a counter, and this user may read it."""
        return bool(self._zones) and all(_read(zone / "energy_uj") for zone in self._zones)

    def sample(self) -> None:
        """Read the counters; each begins again at 0 after its range, which takes a minute at least."""
        now = [int(_read(zone / "energy_uj")) for zone in self._zones]
        self._end = time.perf_counter()
        if not self._last:
            self._start = self._end
        for zone, before, after in zip(self._zones, self._last, now, strict=False):
            wrapped = int(_read(zone / "max_energy_range_uj")) if after < before else 0
            self._joules += (after - before + wrapped) / 1e6
        self._last = now

    def watts(self) -> float | None:
        """Return the mean power between the first and the last reading."""
        return self._joules / (self._end - self._start) if self._end > self._start else None


class Pmic:
    """The power controller of a Raspberry Pi 5."""

    source = "pmic"

    def __init__(self, board: Board) -> None:
        self._board = board
        self._readings: list[float] = []

    @property
    def readable(self) -> bool:
        """Whether there is such a controller."""
        return parse_pmic(self._board.firmware("pmic_read_adc") or "") is not None

    def sample(self) -> None:
        """Take a reading."""
        reading = parse_pmic(self._board.firmware("pmic_read_adc") or "")
        if reading is not None:
            self._readings.append(reading)

    def watts(self) -> float | None:
        """Return the mean of the readings."""
        return statistics.fmean(self._readings) if self._readings else None


def parse_pmic(text: str) -> float | None:
    """Return the watts of all rails of which `vcgencmd pmic_read_adc` prints current and voltage, or None."""
    values = dict(re.findall(r"(\S+_[AV])\s+(?:current|volt)\(\d+\)=([\d.]+)[AV]", text))
    currents = {name: value for name, value in values.items() if name.endswith("_A")}
    rails = [
        float(ampere) * float(values[f"{name[:-1]}V"])
        for name, ampere in currents.items()
        if f"{name[:-1]}V" in values
    ]
    return sum(rails) if rails else None


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""
