"""The charts of `edgesim bench` as SVG: what a query's time goes into, and how its time is distributed.

They are drawn for the width of a phone, where their letters must be read too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesim.bench_figures import Query, Startup, Timing
from edgesim.chart_labels import Box, text_width
from edgesim.svg import (
    BLUE,
    GREEN,
    INK,
    SKY_BLUE,
    VERMILION,
    Axis,
    chart_head,
    round_axis,
    text,
    tick_below,
    tick_beside,
)

WIDTH = 440
# The order says the same.
_COLOURS = (BLUE, SKY_BLUE, VERMILION, GREEN)
_ON_COLOUR = ("#fff", INK, INK, INK)
_BAR, _STEP = 24, 58
_HISTOGRAM = Box(44, 40, WIDTH - 20, 200)
_BINS = 48
# Of the lines at the median, the 90th and the 99th percentile, and where their names are written.
_DASHES = ("", ' stroke-dasharray="6 3"', ' stroke-dasharray="2 2"')
_KEYS = (48, 188, 314)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stages:
    """What a bar shows: medians in milliseconds, in the order in which the stages follow each other."""

    label: str
    medians: tuple[tuple[str, float], ...]
    total: Timing


def query_stages(query: Query) -> Stages:
    """Return the stages of a query; without an index there is no search."""
    medians = tuple((name, timing.p50_ms) for name, timing in query.stages.items())
    return Stages(label=f"{query.megapixels:g} megapixels", medians=medians, total=query.total)


def startup_stages(startup: Startup) -> Stages:
    """Return the stages from the start of a process to its first embedding."""
    parts = {  # in shorter words than elsewhere: the legend is one line
        "process": startup.process,
        "imports": startup.imports,
        "load": startup.load,
        "first inference": startup.first_inference,
    }
    medians = tuple((name, timing.p50_ms) for name, timing in parts.items())
    return Stages(label="first embedding", medians=medians, total=startup.total)


def milliseconds(value: float) -> str:
    """Return a time with three digits, in milliseconds."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def stage_chart(name: str, title: str, bars: Sequence[Stages]) -> str:
    """Return a bar for each of one or more rows, a stage as long as its median, all on one scale."""
    plot = Box(8, 40, WIDTH - 24, 40 + _STEP * len(bars))
    longest = max(sum(median for _, median in bar.medians) for bar in bars)
    axis = round_axis(0.0, longest, plot.left, plot.right)
    names = [stage for stage, _ in bars[0].medians]
    said = "; ".join(
        f"{bar.label}: {', '.join(f'{stage} {milliseconds(ms)}' for stage, ms in bar.medians)}"
        for bar in bars
    )
    return "\n".join(
        [
            chart_head(name, title, f"medians in milliseconds; {said}", WIDTH, plot.bottom + 44),
            *_legend(names),
            *_grid(axis, plot),
            *(part for row, bar in enumerate(bars) for part in _bar(axis, bar, plot.top + row * _STEP)),
            text(WIDTH / 2, plot.bottom + 40, "milliseconds, medians", "middle", INK),
            "</svg>",
        ]
    )


def _legend(names: Sequence[str]) -> Iterator[str]:
    px = 8.0
    for name, colour in zip(names, _COLOURS, strict=False):
        yield f'<rect x="{px:.1f}" y="8" width="12" height="12" fill="{colour}" class="key"/>'
        yield text(px + 17, 19, name, "start", INK)
        px += 30 + text_width(name)


def _grid(axis: Axis, plot: Box) -> Iterator[str]:
    return (tick_below(axis, tick, plot, f"{tick:g}", 18) for tick in axis.ticks)


def _bar(axis: Axis, bar: Stages, top: float) -> Iterator[str]:
    total = milliseconds(bar.total.p50_ms)
    yield text(axis.start, top + 18, f"{bar.label}: {total} ms", "start", INK, bold=True)
    done = 0.0
    for (stage, median), colour, ink in zip(bar.medians, _COLOURS, _ON_COLOUR, strict=False):
        left, right = axis.place(done), axis.place(done + median)
        done += median
        words = milliseconds(median)
        yield (
            f'<rect x="{left:.2f}" y="{top + 25:.0f}" width="{right - left:.2f}" height="{_BAR}" '
            f'fill="{colour}"><title>{stage}: {words} ms</title></rect>'
        )
        if right - left >= text_width(words) + 6:
            yield text((left + right) / 2, top + 42, words, "middle", ink)


def latency_histogram(name: str, title: str, timing: Timing) -> str:
    """Return the distribution of a timing that has samples, with its percentiles."""
    plot, samples = _HISTOGRAM, np.asarray(timing.samples_ms, dtype=np.float64)
    x = _latency_axis(timing, plot)
    counts, edges = np.histogram(samples, _BINS, (x.low, x.high))
    beyond = int((samples > x.high).sum())
    y = round_axis(0.0, float(max(1, counts.max())), plot.bottom, plot.top, most=4)
    words = f"median {milliseconds(timing.p50_ms)} ms, 99 % within {milliseconds(timing.p99_ms)} ms"
    middle = (plot.left + plot.right) / 2
    parts = [
        chart_head(name, title, words, WIDTH, plot.bottom + (66 if beyond else 46)),
        *_grid(x, plot),
        *(tick_beside(y, tick, plot, f"{tick:g}", 6) for tick in y.ticks if tick == int(tick)),
        *_columns(x, y, counts, edges),
        *_percentiles(x, plot, timing),
        text(middle, plot.bottom + 40, f"milliseconds; {timing.count:,} measured", "middle", INK),
    ]
    if beyond:
        late = f"{beyond} of {len(samples)} not shown took longer, up to {milliseconds(timing.max_ms)} ms"
        parts.append(text(middle, plot.bottom + 60, late, "middle"))
    return "\n".join([*parts, "</svg>"])


def _latency_axis(timing: Timing, plot: Box) -> Axis:
    """Return an axis that ends soon behind the 99th percentile, or one stall presses all into one bar."""
    end = min(timing.max_ms, timing.p99_ms + 0.5 * (timing.p99_ms - timing.min_ms))
    return round_axis(timing.min_ms, end, plot.left, plot.right)


def _columns(x: Axis, y: Axis, counts: NDArray[np.intp], edges: NDArray[np.float64]) -> Iterator[str]:
    for count, low, high in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            left, right, top = x.place(low), x.place(high), y.place(count)
            yield (
                f'<rect x="{left + 0.5:.2f}" y="{top:.2f}" width="{right - left - 1:.2f}" '
                f'height="{y.start - top:.2f}" fill="{_COLOURS[0]}">'
                f"<title>{milliseconds(low)} to {milliseconds(high)} ms: {count}</title></rect>"
            )


def _percentiles(axis: Axis, plot: Box, timing: Timing) -> Iterator[str]:
    """Yield a line for each, and above the plot what it stands for, where nothing can cover anything."""
    values = (("median", timing.p50_ms), ("90 %", timing.p90_ms), ("99 %", timing.p99_ms))
    for (label, value), dashes, key in zip(values, _DASHES, _KEYS, strict=True):
        px = axis.place(value)
        for place in (f"M{px:.1f} {plot.top:g}V{plot.bottom:g}", f"M{key} 20V6"):
            yield f'<path d="{place}" stroke="{INK}" stroke-width="2"{dashes} fill="none"/>'
        yield text(key + 8, 19, f"{label} {milliseconds(value)} ms", "start", INK)
