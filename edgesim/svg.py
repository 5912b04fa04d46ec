"""What the charts have in common: ink, axes, lines and texts, as SVG that needs no style from outside."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from html import escape

from edgesim.chart_labels import Box, Place

# Of what is to be read, of what explains it, and of the lines behind it.
INK, MUTED, GRID = "#1c2026", "#575e67", "#e3e6ea"
# Of the Okabe-Ito palette, which are told apart in every kind of colour blindness.
BLUE, SKY_BLUE, VERMILION, GREEN = "#0072b2", "#56b4e9", "#d55e00", "#009e73"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale from values to pixels.

    Attributes:
        low, high: the values at its ends.
        start, end: the pixels there.
        ticks: the values that are marked.
        logarithmic: whether equal ratios, not equal differences, are equally long.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def chart_head(name: str, title: str, description: str, width: float, height: float) -> str:
    """Return how a chart begins; `</svg>` ends it.

    Args:
        name: tells its title and description from those of the page's other charts.
        title: plain text.
        description: read out in place of the chart; plain text.
        width, height: of its coordinates; it is as wide as the page's style lets it be.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{name}-title {name}-text" font-family="system-ui, sans-serif" font-size="14">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-text">{escape(description)}</desc>'
    )


def path(corners: Sequence[Place], colour: str, width: float = 1) -> str:
    """Return a line through some points."""
    course = "L".join(f"{px:.1f} {py:.1f}" for px, py in corners)
    return f'<path d="M{course}" stroke="{colour}" stroke-width="{width:g}" fill="none"/>'


def text(px: float, py: float, words: str, anchor: str, colour: str = MUTED, bold: bool = False) -> str:
    """Return a line of text whose `anchor`, `start`, `middle` or `end`, lies at a point of its base line."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>'
        f"{escape(words)}</text>"
    )


def tick_below(axis: Axis, tick: float, plot: Box, words: str, gap: float = 21) -> str:
    """Return a horizontal axis's tick: a line across the plot, and its words `gap` pixels below."""
    px = axis.place(tick)
    line = path([(px, plot.top), (px, plot.bottom)], GRID)
    return f"{line}\n{text(px, plot.bottom + gap, words, 'middle')}"


def tick_beside(axis: Axis, tick: float, plot: Box, words: str, gap: float = 9) -> str:
    """Return a vertical axis's tick: a line across the plot, and its words `gap` pixels to the left."""
    py = axis.place(tick)
    line = path([(plot.left, py), (plot.right, py)], GRID)
    return f"{line}\n{text(plot.left - gap, py + 5, words, 'end')}"


def stepped_axis(low: float, high: float, step: float, start: float, end: float) -> Axis:
    """Return a linear axis around two values that begins and ends at ticks, the multiples of `step`."""
    # Rounded, for 72.6 / 0.2 is 362.99999999999994.
    first, last = math.floor(round(low / step, 6)), math.ceil(round(high / step, 6))
    ticks = tuple(float(f"{i * step:.10g}") for i in range(first, max(last, first + 1) + 1))
    return Axis(low=ticks[0], high=ticks[-1], start=start, end=end, ticks=ticks)


def round_axis(low: float, high: float, start: float, end: float, most: int = 6) -> Axis:
    """Return a linear axis around two values that begins and ends at ticks, at most `most` + 1 of them.

    Ticks are the multiples of 1, 2 or 5 times a power of ten.
    """
    least = (high - low or abs(high) or 1.0) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(unit * power for unit in (1, 2, 5, 10) if unit * power >= least * (1 - 1e-9))
    return stepped_axis(low, high, step, start, end)
