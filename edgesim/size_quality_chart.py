"""The size/quality curve as SVG: model file on a logarithmic axis, precision@1 in percent, Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from edgesim.chart_labels import Box, Label, Place, place_labels, shortened, text_width
from edgesim.size_quality import Point, pareto_front
from edgesim.svg import (
    BLUE,
    INK,
    MUTED,
    VERMILION,
    Axis,
    chart_head,
    path,
    stepped_axis,
    text,
    tick_below,
    tick_beside,
)

_WIDTH, _HEIGHT = 860, 480
_PLOT = Box(68, 44, _WIDTH - 20, _HEIGHT - 60)
# Where names may stand: off the axes.
_ROOM = Box(_PLOT.left + 4, _PLOT.top - 10, _PLOT.right, _PLOT.bottom - 4)
# Shape and filling say the same again.
_THIS, _OTHER = VERMILION, BLUE
_RADIUS = 8.0
_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))


def size_axis(sizes: Iterable[int], start: float, end: float) -> Axis:
    """Return a logarithmic axis of bytes with ticks at 1, 2 and 5 times powers of ten.

    Above 12 of these the powers of ten alone are marked. It reaches a factor of 1.6 beyond the sizes and over
    a factor of 8 at least, so that near sizes look near. Our choice.
    """
    sizes = list(sizes)
    low, high = min(sizes) / 1.6, max(sizes) * 1.6
    widening = max(1.0, 8 * low / high) ** 0.5
    low, high = low / widening, high * widening
    powers = [10**k for k in range(math.ceil(math.log10(high)) + 1)]
    ticks = [step * power for power in powers for step in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    if len(shown) > 12:
        shown = [power for power in powers if low <= power <= high]
    return Axis(low=low, high=high, start=start, end=end, ticks=tuple(shown), logarithmic=True)


def percent_axis(percents: Iterable[float], start: float, end: float) -> Axis:
    """Return a linear axis of percent, within 0 and 100, that ends at ticks and has at most ten of them."""
    percents = list(percents)
    low, high = min(percents), max(percents)
    margin = max(0.5, 0.12 * (high - low))
    low, high = max(0.0, low - margin), min(100.0, high + margin)
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if high - low <= 8 * s)
    return stepped_axis(low, high, step, start, end)


def size_quality_chart(points: Sequence[Point], this: Point) -> str:
    """Return the curve as an `<svg>` element that needs no style from outside.

    A name for which there is no room is left out; the pointer held over a point shows it in full.

    Args:
        points: two or more, that of this evaluation among them.
        this: which of them is highlighted.
    """
    x = size_axis((point.model_bytes for point in points), _PLOT.left, _PLOT.right)
    y = percent_axis((100 * point.precision_at_1 for point in points), _PLOT.bottom, _PLOT.top)
    front = pareto_front(points)
    # The first get the best places for their names, and are drawn last where markers overlap.
    points = sorted(points, key=lambda point: (point != this, point not in front))
    places = [(x.place(point.model_bytes), y.place(100 * point.precision_at_1)) for point in points]
    stairs = _stairs([places[points.index(point)] for point in front])
    labels = place_labels(places, _names(points), _ROOM, _RADIUS, stairs)
    markers = [
        _point(point, place, point == this, point in front)
        for point, place in zip(points, places, strict=True)
    ]
    return "\n".join(
        [
            _head(len(points), front),
            _axes(x, y),
            _legend(this in front),
            path(stairs, _OTHER, 2),
            *_leaders(places, labels),
            *reversed(markers),
            *(_label(label, bold=number == 0) for number, label in enumerate(labels) if label),
            "</svg>",
        ]
    )


def _head(count: int, front: Sequence[Point]) -> str:
    description = f"{count} encoders; on the Pareto front: {', '.join(point.encoder for point in front)}"
    return chart_head("curve", "Size of the model file against precision@1", description, _WIDTH, _HEIGHT)


def _stairs(corners: list[Place]) -> list[Place]:
    """Return the front as steps: the best that a file of at most this size reaches, to the right end."""
    line = [corners[0]]
    for px, py in corners[1:]:
        line += [(px, line[-1][1]), (px, py)]
    return [*line, (_PLOT.right, line[-1][1])]


def _axes(x: Axis, y: Axis) -> str:
    centre, middle = (_PLOT.left + _PLOT.right) / 2, (_PLOT.top + _PLOT.bottom) / 2
    return "\n".join(
        [
            *(tick_below(x, tick, _PLOT, _size(tick)) for tick in x.ticks),
            *(tick_beside(y, tick, _PLOT, f"{tick:g}") for tick in y.ticks),
            path([_PLOT[:2], (_PLOT.left, _PLOT.bottom), _PLOT[2:]], MUTED),
            text(centre, _HEIGHT - 12, "model file (bytes, logarithmic; 1 kB = 1,000 bytes)", "middle", INK),
            f'<g transform="rotate(-90 16 {middle})">'
            f"{text(16, middle, 'precision@1 (percent)', 'middle', INK)}</g>",
        ]
    )


def _size(count: float) -> str:
    unit, name = next((unit, name) for unit, name in _UNITS if count >= unit)
    return f"{count / unit:g} {name}"


def _legend(this_on_front: bool) -> str:
    entries = [
        (_marker(0, 0, this=True, on_front=this_on_front), "this page's encoder"),
        (_marker(0, 0, this=False, on_front=True), "on the Pareto front"),
        (_marker(0, 0, this=False, on_front=False), "not on it"),
    ]
    parts, left = [], _PLOT.left + 8
    for marker, words in entries:
        parts.append(f'<g transform="translate({left:.1f} 20)">{marker}{text(15, 5, words, "start")}</g>')
        left += 50 + text_width(words)
    return "\n".join(parts)


def _point(point: Point, place: Place, this: bool, on_front: bool) -> str:
    facts = (
        f"{point.encoder}, {point.engine}: {point.model_bytes:,} bytes, {100 * point.precision_at_1:.2f} %"
    )
    return f"<g><title>{escape(facts)}</title>{_marker(*place, this=this, on_front=on_front)}</g>"


def _marker(px: float, py: float, *, this: bool, on_front: bool) -> str:
    colour = _THIS if this else _OTHER
    style = f'fill="{colour if on_front else "#fff"}" stroke="{colour}" stroke-width="2"'
    if not this:
        return f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{_RADIUS - 3:g}" {style}/>'
    r = _RADIUS
    return f'<path d="M{px:.1f} {py - r:.1f}l{r:g} {r:g}l-{r:g} {r:g}l-{r:g} -{r:g}z" {style}/>'


def _leaders(places: Iterable[Place], labels: Iterable[Label | None]) -> Iterator[str]:
    for place, label in zip(places, labels, strict=True):
        if label and label.leader:
            yield path([place, label.leader], MUTED)


def _label(label: Label, bold: bool) -> str:
    return text(label.x, label.box.bottom - 4, label.text, label.anchor, INK, bold)


def _names(points: Sequence[Point]) -> list[str]:
    """Return short names: engine and identity are left out as long as the names differ without them."""
    columns = [
        [form.format(name=p.encoder.split(" (")[0], encoder=p.encoder, engine=p.engine) for p in points]
        for form in ("{name}", "{name}, {engine}", "{encoder}", "{encoder}, {engine}")
    ]
    names = []
    for forms in zip(*columns, strict=True):
        unique = [form for form, column in zip(forms, columns, strict=True) if column.count(form) == 1]
        names.append(shortened([*unique, forms[-1]][0]))
    return names
