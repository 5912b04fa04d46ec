"""Pictures of what bench_encoders.py measured: size and latency against quality, and the roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from encoder_costs.rows import Row, label

from charts.scatter import LEFT, RIGHT, WIDTH, Mark, Plot, legend, log_axis, pieces
from edgesim.chart_labels import Box, text_width
from edgesim.size_quality_chart import percent_axis
from edgesim.svg import MUTED, chart_head, path, text

_ENGINES = {"litert": "LiteRT", "onnxruntime": "onnxruntime"}
_OWN, _MODEL, _HASH = "diamond", "circle", "square"
_FROM, _HEIGHT = 44.0, 440.0


def quality_chart(rows: Sequence[Row]) -> str:
    """Return recall@1 among look-alikes against the file's size, above, and against latency, below.

    Rows without quality are left out, and hashes, which have no file, in the upper plot.
    """
    known = {row: 100 * row.quality.recall_at_1 for row in rows if row.quality}
    sizes = {row: row.bytes / 1e6 for row in known if row.bytes}
    times = {row: row.ms for row in known}
    below = _FROM + _HEIGHT + 80
    description = f"{len(known)} encoders: recall@1 among look-alikes, size of the model file, milliseconds"
    entries = {"edgesim": (_OWN, False), "another's model": (_MODEL, False), "a hash": (_HASH, False)}
    parts = [
        chart_head(
            "quality", "Size, latency and quality of encoders", description, WIDTH, below + _HEIGHT + 60
        ),
        *legend(entries),
        *_quality_plot(_FROM, "model file, MB", sizes, known),
        *_quality_plot(below, "one inference, ms (of a hash: from a decoded picture)", times, known),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _quality_plot(
    top: float, title: str, values: Mapping[Row, float], known: Mapping[Row, float]
) -> list[str]:
    plot = Plot(
        box=Box(LEFT, top, RIGHT, top + _HEIGHT),
        x=log_axis(values.values(), LEFT, RIGHT),
        y=percent_axis(known.values(), top + _HEIGHT, top),
        x_title=title,
        y_title="recall@1 among look-alikes, percent",
    )
    marks = [Mark(value, known[row], _name(row), _shape(row)) for row, value in values.items()]
    return [*plot.frame(), *plot.marks(marks)]


def _shape(row: Row) -> str:
    return _OWN if row.own else _MODEL if row.engine else _HASH


def _name(row: Row) -> str:
    return f"{row.name.split(' (')[0]}, {_ENGINES[row.engine]}" if row.own else label(row.name)


def roofline_chart(result: Mapping[str, Any]) -> str:
    """Return multiply-accumulates a second against those a byte, under what the machine can do."""
    models = {name: of for name, of in result["encoders"].items() if of["engine"]}
    marks = [_roofline_mark(name, of) for name, of in models.items()]
    ceilings = _ceilings(result)
    bottom = _FROM + _HEIGHT + 80
    plot = Plot(
        box=Box(LEFT, _FROM, RIGHT, bottom),
        x=log_axis((mark.x for mark in marks), LEFT, RIGHT),
        y=log_axis([*(mark.y for mark in marks), *ceilings.values()], bottom, _FROM),
        x_title="multiply-accumulates for each byte of weights and activations",
        y_title="billion multiply-accumulates a second",
    )
    lines = [_roof(plot, speed, words) for words, speed in ceilings.items()]
    slopes = result["ceilings"]["bytes_per_second"].items()
    lines += [line for where, speed in slopes if (line := _slope(plot, speed, where, max(ceilings.values())))]
    obstacles = [box for line in lines for box in line.obstacles]
    description = f"{len(marks)} models, one mark a model and engine; {'; '.join(ceilings)}"
    entries = {"edgesim": (_OWN, False), "another's, int8": (_MODEL, False), "float32": (_MODEL, True)}
    parts = [
        chart_head("roofline", "Roofline of one thread of this machine", description, WIDTH, bottom + 60),
        *legend(entries),
        *plot.frame(),
        *(line.drawn for line in lines),
        *plot.marks(marks, obstacles),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _roofline_mark(name: str, of: Mapping[str, Any]) -> Mark:
    own = name.endswith(f"({of['engine']})")
    words = label(name)
    if own:
        # `similar` has the network of `copy`: the two marks coincide, and one name is enough.
        words = f"copy and similar, {_ENGINES[of['engine']]}" if name.startswith("copy ") else ""
    speed, intensity = of["macs"] / of["ms"] / 1e6, of["macs"] / of["moved_bytes"]
    return Mark(intensity, speed, words, _OWN if own else _MODEL, of["arithmetic"] == "float32")


def _ceilings(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the fastest engine's matrix product in each arithmetic: words -> billions a second."""
    speeds = result["ceilings"]["macs_per_second"]
    found = {}
    for arithmetic in ("int8", "float32"):
        engine, of = max(speeds.items(), key=lambda item: item[1][arithmetic])
        speed = of[arithmetic] / 1e9
        found[f"{arithmetic} matrix product, {_ENGINES[engine]}: {speed:.0f}"] = speed
    return found


class _Line(NamedTuple):
    """A line of the roof with its words, and what names of marks keep off."""

    drawn: str
    obstacles: list[Box]


def _roof(plot: Plot, speed: float, words: str) -> _Line:
    y, left = plot.y.place(speed), plot.box.left
    ends = (left, y), (plot.box.right, y)
    written = Box(left, y - 22, left + 8 + text_width(words), y)
    drawn = path(ends, MUTED, 1.5) + text(left + 8, y - 6, words, "start")
    return _Line(drawn, [*pieces(*ends), written])


def _slope(plot: Plot, bytes_per_second: float, where: str, roof: float) -> _Line | None:
    """Return the line of what moving bytes allows up to the roof; None where that is not in the plot."""
    per_byte = bytes_per_second / 1e9
    low, high = max(plot.x.low, plot.y.low / per_byte), min(plot.x.high, roof / per_byte)
    if low >= high:
        return None
    (x0, y0), (x1, y1) = start, end = plot.place(low, per_byte * low), plot.place(high, per_byte * high)
    words = f"copying in {where}: {per_byte:.0f} GB/s"
    turn = f"translate({x1:.1f} {y1:.1f}) rotate({math.degrees(math.atan2(y1 - y0, x1 - x0)):.1f})"
    drawn = path((start, end), MUTED, 1.5) + f'<g transform="{turn}">{text(-24, -6, words, "end")}</g>'
    share = max(0.0, 1 - (text_width(words) + 24) / math.dist(start, end))
    middle = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
    return _Line(drawn, [*pieces(start, middle), *pieces(middle, end, above=22)])
