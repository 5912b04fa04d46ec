"""The picture of a soak run: memory, CPU time and latencies over minutes, each with its fitted line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from soak.growth import HOUR

from charts.scatter import grid
from edgesim.chart_labels import Box, text_width
from edgesim.svg import BLUE, GREEN, INK, MUTED, VERMILION, Axis, chart_head, path, round_axis, text

_WIDTH, _HEIGHT = 860, 700
_LEFT, _RIGHT, _PLOT_HEIGHT = 68.0, _WIDTH - 20.0, 156.0
_COLOURS = (BLUE, VERMILION, GREEN)
# Each plot's title, what it shows, and where it begins.
_PLOTS = (
    ("resident memory, MiB", ("memory MiB",), 44.0),
    ("CPU time of a round, ms", ("round CPU ms",), 264.0),
    ("median latency, ms", ("query ms", "add ms", "remove ms"), 484.0),
)
_MOST_TICKS = 7


def soak_chart(result: Mapping[str, Any]) -> str:
    """Return the picture as an SVG file that needs no style from outside."""
    minutes = [sample["seconds"] / 60 for sample in result["samples"]]
    description = "; ".join(
        f"{name}: {of['start']:.1f} at first, {of['slope']:+.2f} an hour"
        for name, of in result["growth"].items()
    )
    x = round_axis(0, max(minutes), _LEFT, _RIGHT, _MOST_TICKS)
    parts = [chart_head("soak", "Memory and latency over a soak run", description, _WIDTH, _HEIGHT)]
    for title, names, top in _PLOTS:
        parts += _plot(result, Box(_LEFT, top, _RIGHT, top + _PLOT_HEIGHT), x, names, title)
    caption = "minutes; grey: the fitted lines"
    parts.append(text((_LEFT + _RIGHT) / 2, _HEIGHT - 14, caption, "middle", INK))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _plot(result: Mapping[str, Any], box: Box, x: Axis, names: Sequence[str], title: str) -> list[str]:
    """Return one plot: its axes from zero, a curve and a fitted line of each name, and a legend."""
    curves = {
        name: [(sample["seconds"] / 60, sample[name]) for sample in result["samples"]] for name in names
    }
    highest = max(value for curve in curves.values() for _, value in curve)
    y = round_axis(0, highest, box.bottom, box.top, _MOST_TICKS)
    parts = grid(box, x, y)
    left = box.left
    for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
        parts.append(path([(x.place(minute), y.place(value)) for minute, value in curve], colour, 2))
        parts.append(_fitted(result["growth"][name], curve[-1][0], x, y))
        label = title if len(names) == 1 else f"{name.removesuffix(' ms')}"
        parts.append(text(left, box.top - 14, label, "start", colour, bold=True))
        left += text_width(label) + 24
    if len(names) > 1:
        parts.append(text(left, box.top - 14, title, "start", INK))
    return parts


def _fitted(growth: Mapping[str, Any], end: float, x: Axis, y: Axis) -> str:
    """Return the line that was fitted, over the samples that it was fitted to."""
    begin = end - growth["hours"] * HOUR / 60
    last = growth["start"] + growth["slope"] * growth["hours"]
    return path([(x.place(begin), y.place(growth["start"])), (x.place(end), y.place(last))], MUTED)
