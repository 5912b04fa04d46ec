"""A study as one HTML page without other files: what it says, a bar chart, and the figures behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from edgesim.cli.study import spread
from edgesim.html_page import html_page
from edgesim.svg import GRID, INK, MUTED, SKY_BLUE, Axis, chart_head, path, text

# Row of a study -> its name on the page, and where its negatives come from.
_ROWS = {
    "qk": ("qk", "all images, exact; a head for each side"),
    "qk_query_model": ("qk, query model only", "the same; references described by the query model"),
    "qk_one_head": ("qk, one head", "all images, exact; one head for both sides"),
    "simclr": ("simclr", "the other images of the batch"),
    "moco": ("moco", "a queue of the last keys"),
}
_METRICS = {"micro_ap": "micro-AP", "recall_at_p90": "recall@P90", "recall_at_1": "recall@1"}

_WIDTH, _LEFT, _TOP, _STEP, _BAR = 760, 178, 34, 46, 24
# Pale enough for the lines on them; the names say the same again.
_QK, _OTHER = SKY_BLUE, "#b3bbc4"

_STYLE = """
p { margin: .2rem 0; color: #575e67 }
.verdict { color: #1c2026; font-weight: 600 }
svg { display: block; width: 100%; max-width: 760px; margin: .8rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem 1.3rem .25rem 0; border-bottom: 1px solid #dde1e6; text-align: left }
th { font-weight: 400 }
th, td { white-space: nowrap }
td:last-child { white-space: normal }
.scroll { overflow-x: auto }
@media print { svg, tr { break-inside: avoid } h2 { break-after: avoid } }
"""


def study_page(report: dict[str, Any]) -> str:
    """Return the page, with inline style and SVG, of what `edgesim evaluate --study qk --json` prints."""
    title = f"Where negatives come from: a study on {report['folder']}"
    settings = report["settings"]
    parts = [
        f"<p>{report['images']:,} images, {report['seeds']} seeds, {settings['epochs']} epochs of "
        f"{settings['input_size']} pixels. {100 * settings['holdout']:g} % of the images were held out and "
        "copies of them looked up; each seed holds out others.</p>",
        "<h2>What it says</h2>",
        *(f'<p class="verdict">{escape(sentence)}</p>' for sentence in report["verdict"]),
        "<p>A difference counts when the means of micro-AP differ by more than the sum of their standard "
        "deviations.</p>",
        "<h2>Micro-AP</h2>",
        "<p>Bar: mean over the seeds. Line: one standard deviation either way. Dot: one seed.</p>",
        _chart(report["figures"]),
        "<h2>Figures</h2><p>Percent, mean ± standard deviation over the seeds.</p>",
        _table(report["figures"]),
    ]
    return html_page(title, _STYLE, parts, width=860)


def _table(figures: dict[str, list[dict[str, float]]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in ("method", *_METRICS.values(), "negatives"))
    rows = []
    for row, of_seeds in figures.items():
        name, negatives = _ROWS[row]
        cells = "".join(f"<td>{_percent(*spread(of_seeds, metric))}</td>" for metric in _METRICS)
        rows.append(f'<tr><th scope="row">{name}</th>{cells}<td>{negatives}</td></tr>')
    body = "".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _percent(mean: float, deviation: float) -> str:
    return f"{100 * mean:.2f} ± {100 * deviation:.2f}"


def _chart(figures: dict[str, list[dict[str, float]]]) -> str:
    """Return horizontal bars of micro-AP as an `<svg>` element that needs no style from outside."""
    spreads = [spread(of_seeds, "micro_ap") for of_seeds in figures.values()]
    bottom = _TOP + _STEP * len(figures)
    reach = max([sum(pair) for pair in spreads] + [f["micro_ap"] for fs in figures.values() for f in fs])
    axis = bar_axis(100 * reach, _LEFT, _WIDTH - 130)
    description = "; ".join(
        f"{_ROWS[row][0]} {_percent(*pair)} percent" for row, pair in zip(figures, spreads, strict=True)
    )
    return "\n".join(
        [
            chart_head("bars", "Micro-AP of each method", description, _WIDTH, bottom + 44),
            *(_tick(axis, tick, bottom) for tick in axis.ticks),
            *(
                _bar(axis, row, of_seeds, _TOP + _STEP * number)
                for number, (row, of_seeds) in enumerate(figures.items())
            ),
            _line(_LEFT, _TOP - 8, _LEFT, bottom, MUTED),
            text((axis.start + axis.end) / 2, bottom + 38, "micro-AP (percent)", "middle", INK),
            "</svg>",
        ]
    )


def bar_axis(largest: float, start: float, end: float) -> Axis:
    """Return an axis of percent from 0, where bars begin, to the tick at or above the largest value."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
    step = next((step for step in steps if largest <= 6 * step), steps[-1])
    count = max(1, math.ceil(round(largest / step, 6)))
    ticks = tuple(round(i * step, 1) for i in range(count + 1))
    return Axis(low=0.0, high=ticks[-1], start=start, end=end, ticks=ticks)


def _bar(axis: Axis, row: str, of_seeds: Sequence[dict[str, float]], top: float) -> str:
    mean, deviation = spread(of_seeds, "micro_ap")
    middle, end = top + _BAR / 2, axis.place(100 * mean)
    # Of a mean near 0 the line would begin left of the axis.
    low, high = (axis.place(100 * max(0.0, mean + sign * deviation)) for sign in (-1, 1))
    dots = "".join(
        f'<circle cx="{axis.place(100 * f["micro_ap"]):.1f}" cy="{middle:.1f}" r="3" fill="#fff" '
        f'stroke="{INK}"/>'
        for f in of_seeds
    )
    colour = _QK if row.startswith("qk") else _OTHER
    return (
        f"<g><title>{_ROWS[row][0]}: {_percent(mean, deviation)} %</title>"
        f'<rect x="{axis.start:.1f}" y="{top:.1f}" width="{end - axis.start:.1f}" height="{_BAR}" '
        f'fill="{colour}"/>'
        f"{_line(low, middle, high, middle, INK)}{_line(low, middle - 6, low, middle + 6, INK)}"
        f"{_line(high, middle - 6, high, middle + 6, INK)}{dots}"
        f"{text(_LEFT - 10, middle + 5, _ROWS[row][0], 'end', INK)}"
        f"{text(_WIDTH - 4, middle + 5, _percent(mean, deviation), 'end', INK)}</g>"
    )


def _tick(axis: Axis, tick: float, bottom: float) -> str:
    x = axis.place(tick)
    return _line(x, _TOP - 8, x, bottom, GRID) + text(x, bottom + 18, f"{tick:g}", "middle", MUTED)


def _line(x0: float, y0: float, x1: float, y1: float, colour: str) -> str:
    return path([(x0, y0), (x1, y1)], colour, 1.5)
