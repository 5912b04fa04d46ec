"""Does something grow while a program runs? A line through samples, and how sure its slope is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

HOUR = 3600.0
# Beyond so many of its standard errors a slope is hardly chance: one case in 740 (one-sided, normal errors).
_STANDARD_ERRORS = 3.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A least-squares line through samples; its values are in the samples' unit.

    Attributes:
        slope: growth per unit of what they are taken over.
        standard_error: of the slope, from the scatter about the line; it takes samples as independent, which
            neighbouring ones seldom are, so it is the least that it can be.
        start: the line's value at the first sample.
        samples: how many.
    """

    slope: float
    standard_error: float
    start: float
    samples: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Growth(Line):
    """A line over time; its slope is the growth per hour.

    Attributes:
        hours: from the first sample to the last.
    """

    hours: float

    @property
    def upper(self) -> float:
        """The largest growth per hour that the samples leave room for: the slope and 3 standard errors."""
        return self.slope + _STANDARD_ERRORS * self.standard_error

    @property
    def lower(self) -> float:
        """The smallest growth per hour that the samples leave room for."""
        return self.slope - _STANDARD_ERRORS * self.standard_error

    def verdict(self, bound: float) -> str:
        """Return whether the growth per hour is surely `above` a bound, surely `within` it, or `unsure`."""
        if self.lower > bound:
            return "above"
        return "within" if self.upper <= bound else "unsure"


def fit_line(instants: Sequence[float], values: Sequence[float]) -> Line:
    """Fit a line by least squares.

    Args:
        instants: when each sample was taken, by time or by whatever else goes on.
        values: what it was.

    Raises:
        ValueError: fewer than three samples, or all taken at one instant.
    """
    count = len(instants)
    if count < 3 or count != len(values):
        raise ValueError(
            f"a line needs three samples or more of time and value, not {count} and {len(values)}"
        )
    middle, mean = math.fsum(instants) / count, math.fsum(values) / count
    spread = math.fsum((instant - middle) ** 2 for instant in instants)
    if spread == 0:
        raise ValueError("samples of one instant have no slope")
    slope = math.fsum((x - middle) * (v - mean) for x, v in zip(instants, values, strict=True)) / spread
    residuals = (v - mean - slope * (x - middle) for x, v in zip(instants, values, strict=True))
    variance = math.fsum(residual**2 for residual in residuals) / (count - 2)
    return Line(
        slope=slope,
        standard_error=math.sqrt(variance / spread),
        start=mean + slope * (min(instants) - middle),
        samples=count,
    )


def fit_growth(seconds: Sequence[float], values: Sequence[float]) -> Growth:
    """Fit a line over time; see `fit_line`."""
    hours = [second / HOUR for second in seconds]
    line = fit_line(hours, values)
    return Growth(**dataclasses.asdict(line), hours=max(hours) - min(hours))
