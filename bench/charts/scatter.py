"""Scatter plots as SVG: marks on two axes, with names that keep off each other and off lines."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from edgesim.chart_labels import Box, Label, Place, place_labels, text_width
from edgesim.svg import BLUE, GREEN, INK, MUTED, VERMILION, Axis, path, text, tick_below, tick_beside

WIDTH = 860
LEFT, RIGHT = 68.0, WIDTH - 20.0
_RADIUS = 6.0
# The shape says the same again.
_COLOURS = {"diamond": VERMILION, "circle": BLUE, "square": GREEN}


class Mark(NamedTuple):
    """One thing in a plot.

    Attributes:
        x, y: its values.
        name: what is written beside it, nothing if it is empty.
        shape: a key of `_COLOURS`; names of diamonds get the best places.
        hollow: drawn as an outline.
    """

    x: float
    y: float
    name: str
    shape: str
    hollow: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Where a plot lies, its axes, and what is written at them."""

    box: Box
    x: Axis
    y: Axis
    x_title: str
    y_title: str

    def place(self, x: float, y: float) -> Place:
        """Return the pixel of two values."""
        return self.x.place(x), self.y.place(y)

    def frame(self) -> list[str]:
        """Return axes, grid and titles."""
        box = self.box
        centre, middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        return [
            *grid(box, self.x, self.y),
            path([box[:2], (box.left, box.bottom), box[2:]], MUTED),
            text(centre, box.bottom + 44, self.x_title, "middle", INK),
            f'<g transform="rotate(-90 16 {middle})">{text(16, middle, self.y_title, "middle", INK)}</g>',
        ]

    def marks(self, marks: Iterable[Mark], obstacles: Iterable[Box] = ()) -> list[str]:
        """Return marks with their names, which keep off each other and off obstacles."""
        obstacles = list(obstacles)
        tried = [self._named(order, obstacles) for order in _orders(list(marks))]
        # The first of those that name most.
        found = max(tried, key=lambda named: sum(label is not None for _, _, label in named))
        named = [(place, label) for mark, place, label in found if label and mark.name]
        return [
            *(path([place, label.leader], MUTED) for place, label in named if label.leader),
            *(_drawn(mark, place) for mark, place, _ in reversed(found)),
            *(text(label.x, label.box.bottom - 4, label.text, label.anchor, INK) for _, label in named),
        ]

    def _named(
        self, marks: Sequence[Mark], obstacles: Sequence[Box]
    ) -> list[tuple[Mark, Place, Label | None]]:
        """Return marks with their places and names, None where there is no room for a name."""
        box, places = self.box, [self.place(mark.x, mark.y) for mark in marks]
        room = Box(box.left + 4, box.top - 10, box.right, box.bottom - 4)
        labels = place_labels(places, [mark.name for mark in marks], room, _RADIUS + 2, [], obstacles)
        return list(zip(marks, places, labels, strict=True))


def _orders(marks: Sequence[Mark]) -> Iterator[list[Mark]]:
    """Yield orders in which names may be given their places: diamonds first, then from one side to another.

    Places are not taken back, so the order decides how many names find one.
    """
    for axis, sign in itertools.product(("x", "y"), (1, -1)):
        # Nameless ones last.
        def rank(mark: Mark, axis: str = axis, sign: int = sign) -> tuple[bool, bool, float]:
            return not mark.name, mark.shape != "diamond", sign * getattr(mark, axis)

        yield sorted(marks, key=rank)


def grid(box: Box, x: Axis, y: Axis, x_format: str = "g") -> list[str]:
    """Return a line across the box at every tick, and its value beside the box."""
    return [
        *(tick_below(x, tick, box, f"{tick:{x_format}}") for tick in x.ticks),
        *(tick_beside(y, tick, box, f"{tick:g}") for tick in y.ticks),
    ]


def log_axis(values: Iterable[float], start: float, end: float) -> Axis:
    """Return a logarithmic axis with ticks at 1, 2 and 5 times powers of ten, a factor of 1.5 around."""
    values = list(values)
    low, high = min(values) / 1.5, max(values) * 1.5
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = (float(f"{step}e{power}") for power in powers for step in (1, 2, 5))
    shown = tuple(tick for tick in ticks if low <= tick <= high)
    return Axis(low=low, high=high, start=start, end=end, ticks=shown, logarithmic=True)


def legend(entries: Mapping[str, tuple[str, bool]]) -> list[str]:
    """Return what the marks mean, in a line above the plots: words -> shape, and whether it is hollow."""
    parts, left = [], LEFT + 8
    for words, (shape, hollow) in entries.items():
        marker = _marker(0, 0, shape, hollow)
        parts.append(f'<g transform="translate({left:.1f} 20)">{marker}{text(15, 5, words, "start")}</g>')
        left += 50 + text_width(words)
    return parts


def pieces(start: Place, end: Place, above: float = 2) -> list[Box]:
    """Return a straight line as obstacles, with so many pixels of room above it for words along it."""
    count = 1 if start[1] == end[1] else 40
    (x0, y0), (x1, y1) = start, end
    steps = [i / count for i in range(count + 1)]
    places = [(x0 + step * (x1 - x0), y0 + step * (y1 - y0)) for step in steps]
    return [
        Box(min(a, c) - 2, min(b, d) - above, max(a, c) + 2, max(b, d) + 2)
        for (a, b), (c, d) in itertools.pairwise(places)
    ]


def _drawn(mark: Mark, place: Place) -> str:
    facts = f"{mark.name}: {mark.x:.3g}, {mark.y:.3g}"
    return f"<g><title>{escape(facts)}</title>{_marker(*place, mark.shape, mark.hollow)}</g>"


def _marker(px: float, py: float, shape: str, hollow: bool) -> str:
    colour, r = _COLOURS[shape], _RADIUS
    style = f'fill="{"#fff" if hollow else colour}" stroke="{colour}" stroke-width="2"'
    if shape == "circle":
        return f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{r - 1:g}" {style}/>'
    corners = f"M{px:.1f} {py - r - 2:.1f}l{r + 2:g} {r + 2:g}l-{r + 2:g} {r + 2:g}l-{r + 2:g} -{r + 2:g}z"
    if shape == "square":
        side = 2 * r - 2
        corners = f"M{px - r + 1:.1f} {py - r + 1:.1f}h{side:g}v{side:g}h-{side:g}z"
    return f'<path d="{corners}" {style}/>'
