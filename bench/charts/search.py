"""How latency and memory grow with the entries, as SVG: both axes logarithmic, a line for each library."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from charts.scatter import grid
from edgesim.chart_labels import Box, Place
from edgesim.svg import BLUE, GREEN, INK, VERMILION, Axis, chart_head, path, text

_WIDTH, _HEIGHT = 860, 480
_PLOT = Box(72, 44, _WIDTH - 170, _HEIGHT - 60)
_LINE = 18
# Of the Okabe-Ito palette, which are told apart in every kind of colour blindness; the names say the same.
_COLOURS = {
    "edgesim": VERMILION,
    "hnswlib": BLUE,
    "usearch": GREEN,
    "faiss": "#cc79a7",
    "sqlite-vec": "#1c2026",
}


def growth_chart(name: str, title: str, unit: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Return a chart as an `<svg>` element that needs no style from outside.

    Args:
        name: tells it from the page's other charts.
        title: plain text.
        unit: of the values.
        lines: library -> pairs of entries and a value above 0, by rising entries; HNSW's are drawn whole,
            the others broken.
    """
    x = power_axis([size for line in lines.values() for size, _ in line], _PLOT.left, _PLOT.right)
    y = power_axis([value for line in lines.values() for _, value in line], _PLOT.bottom, _PLOT.top)
    courses = {
        library: [(x.place(size), y.place(value)) for size, value in line] for library, line in lines.items()
    }
    heights = spread([course[-1][1] for course in courses.values()], _LINE, _PLOT.bottom)
    return "\n".join(
        [
            chart_head(name, title, f"{title}, {unit}: {', '.join(lines)}", _WIDTH, _HEIGHT),
            *grid(_PLOT, x, y, ",.0f"),
            text(_PLOT.left, 24, f"{title} ({unit}, logarithmic)", "start", INK),
            text((_PLOT.left + _PLOT.right) / 2, _HEIGHT - 12, "entries (logarithmic)", "middle", INK),
            *itertools.chain.from_iterable(
                _line(library, course, height)
                for (library, course), height in zip(courses.items(), heights, strict=True)
            ),
            "</svg>",
            "",
        ]
    )


def power_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Return a logarithmic axis from one power of ten to another around all values."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)
    ticks = tuple(10.0**power for power in range(first, last + 1))
    return Axis(low=ticks[0], high=ticks[-1], start=start, end=end, ticks=ticks, logarithmic=True)


def spread(heights: Sequence[float], distance: float, bottom: float) -> list[float]:
    """Return heights, downwards, in the order of the given ones, so far apart that texts fit.

    They are moved as little as can be: those that would meet lie around their mean. None lies below
    `bottom`.
    """
    order = sorted(range(len(heights)), key=lambda number: heights[number])
    groups: list[list[int]] = []
    for number in order:
        groups.append([number])
        while len(groups) > 1 and _first(groups[-1], heights, distance) < distance * len(groups[-2]) + _first(
            groups[-2], heights, distance
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = list(heights)
    for group in groups:
        for place, number in enumerate(group):
            placed[number] = _first(group, heights, distance) + distance * place
    limit = bottom
    for number in reversed(order):
        placed[number] = min(placed[number], limit)
        limit = placed[number] - distance
    return placed


def _first(group: Sequence[int], heights: Sequence[float], distance: float) -> float:
    """Return the height of a group's first text when all lie around their mean."""
    mean = sum(heights[number] for number in group) / len(group)
    return mean - distance * (len(group) - 1) / 2


def _line(library: str, course: Sequence[Place], height: float) -> list[str]:
    colour = next(colour for maker, colour in _COLOURS.items() if library.startswith(maker))
    width = 3 if library.startswith("edgesim") else 1.8
    broken = "" if is_hnsw(library) else ' stroke-dasharray="7 4"'
    px, py = course[-1]
    return [
        f"<g{broken}>{path(course, colour, width)}</g>",
        *(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3.5" fill="{colour}"/>' for cx, cy in course),
        path([(px + 5, py), (_PLOT.right + 14, height)], colour),
        text(_PLOT.right + 18, height + 5, library, "start", INK, bold=library.startswith("edgesim")),
    ]


def is_hnsw(library: str) -> bool:
    """Return whether a library, as it is called here, searches a graph."""
    return "HNSW" in library or library in ("hnswlib", "usearch")


def series(rows: Sequence[Mapping[str, Any]], figure: str) -> dict[str, list[tuple[int, float]]]:
    """Return library -> pairs of entries and that figure, of rows that rise in their entries."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        lines.setdefault(row["library"], []).append((row["entries"], row[figure]))
    return lines
