"""The scores of a calibration as SVG: how they are distributed, and the receiver operating characteristic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from edgesim.chart_labels import Box, Place, text_width
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
from edgesim.thresholds import Scores, ScoreSet, Thresholds, roc

_WIDTH, _HEIGHT = 860, 430
_PLOT = Box(68, 58, _WIDTH - 20, _HEIGHT - 56)
# The side of the axis and the words say the same again.
_MATCH, _NO_MATCH, _UNSURE = BLUE, VERMILION, "#f2f3f5"
_BINS = 60


def distribution_chart(scores: ScoreSet, thresholds: Thresholds) -> str:
    """Return two histograms, queries with a match upwards and those without downwards, as an `<svg>`.

    A bar's length is its share of the queries of that kind, both on one scale.
    """
    axis = score_axis(scores, thresholds, _PLOT.left, _PLOT.right)
    edges = np.linspace(axis.low, axis.high, _BINS + 1)
    shares = [_shares(kind, edges) for kind in (scores.positives, scores.negatives)]
    middle = (_PLOT.top + _PLOT.bottom) / 2
    per_share = (middle - _PLOT.top - 6) / max(share.max() for share in shares)
    low, high = axis.place(thresholds.lower), axis.place(thresholds.upper)
    description = (
        f"{len(scores.positives)} queries with a match, {len(scores.negatives)} without; "
        f"match from {thresholds.upper:.4f}, no match below {thresholds.lower:.4f}"
    )
    return "\n".join(
        [
            chart_head("distribution", "Distribution of the scores", description, _WIDTH, _HEIGHT),
            f'<rect x="{low:.1f}" y="{_PLOT.top}" width="{high - low:.1f}" '
            f'height="{_PLOT.bottom - _PLOT.top}" fill="{_UNSURE}"/>',
            *(tick_below(axis, tick, _PLOT, f"{tick:g}") for tick in axis.ticks),
            *_bars(axis, edges, shares[0], middle, -per_share, _MATCH),
            *_bars(axis, edges, shares[1], middle, per_share, _NO_MATCH),
            path([(_PLOT.left, middle), (_PLOT.right, middle)], MUTED),
            *_thresholds(axis, thresholds),
            text(_PLOT.left + 8, _PLOT.top + 18, "with a match", "start", _MATCH, bold=True),
            text(_PLOT.left + 8, _PLOT.bottom - 10, "without a match", "start", _NO_MATCH, bold=True),
            text((_PLOT.left + _PLOT.right) / 2, _HEIGHT - 12, "score", "middle", INK),
            "</svg>",
        ]
    )


def roc_chart(scores: ScoreSet, thresholds: Thresholds) -> str:
    """Return the receiver operating characteristic with the two thresholds on it, as an `<svg>`.

    The share of false alarms is logarithmic, from half of one query on: there is where a threshold lies.
    """
    alarms, found = roc(scores)
    x = share_axis(len(scores.negatives), _PLOT.left, _PLOT.right)
    y = Axis(low=0.0, high=1.0, start=_PLOT.bottom, end=_PLOT.top, ticks=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    corners: list[Place] = []
    for alarm, share in zip(alarms.tolist(), found.tolist(), strict=True):
        px, py = x.place(max(alarm, x.low)), y.place(share)
        if corners and px > corners[-1][0]:
            corners.append((px, corners[-1][1]))
        corners.append((px, py))
    description = _roc_words(scores, thresholds)
    return "\n".join(
        [
            chart_head("roc", "Receiver operating characteristic", description, _WIDTH, _HEIGHT),
            *(tick_below(x, tick, _PLOT, f"{100 * tick:g}") for tick in x.ticks),
            *(tick_beside(y, tick, _PLOT, f"{100 * tick:g}") for tick in y.ticks),
            path([_PLOT[:2], (_PLOT.left, _PLOT.bottom), _PLOT[2:]], MUTED),
            path(_without_middles(corners), _MATCH, 2),
            *_point(scores, thresholds.upper, x, y, "match from", below=True),
            *_point(scores, thresholds.lower, x, y, "not below", below=False),
            text(_PLOT.left, 22, "percent of the queries with a match that are accepted", "start", INK),
            text(
                (_PLOT.left + _PLOT.right) / 2,
                _HEIGHT - 12,
                "percent of the queries without a match that are accepted (false alarms, logarithmic)",
                "middle",
                INK,
            ),
            "</svg>",
        ]
    )


def score_axis(scores: ScoreSet, thresholds: Thresholds, start: float, end: float) -> Axis:
    """Return a linear axis around all scores and thresholds, with at most 12 ticks."""
    values = np.concatenate([scores.positives, scores.negatives, [thresholds.lower, thresholds.upper]])
    low, high = float(values.min()), float(values.max())
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if high - low <= 10 * step)
    return stepped_axis(low, high, step, start, end)


def share_axis(trials: int, start: float, end: float) -> Axis:
    """Return a logarithmic axis of shares from half of one trial to 1, with ticks at powers of ten."""
    low = 0.5 / trials
    ticks = tuple(10.0**k for k in range(math.ceil(round(math.log10(low), 9)), 1))
    return Axis(low=low, high=1.0, start=start, end=end, ticks=ticks, logarithmic=True)


def _shares(scores: Scores, edges: Scores) -> Scores:
    return np.asarray(np.histogram(scores, edges)[0] / len(scores))


def _bars(
    axis: Axis, edges: Scores, shares: Scores, middle: float, per_share: float, colour: str
) -> list[str]:
    """Return a bar for each bin that is not empty, upwards where `per_share` is negative."""
    bars = []
    for low, high, share in zip(edges[:-1].tolist(), edges[1:].tolist(), shares.tolist(), strict=True):
        if share:
            left, right = axis.place(low), axis.place(high)
            # The rarest must be seen too.
            length = max(1.5, abs(share * per_share))
            bars.append(
                f'<rect x="{left + 0.5:.1f}" y="{middle - length if per_share < 0 else middle:.1f}" '
                f'width="{right - left - 1:.1f}" height="{length:.1f}" fill="{colour}"><title>'
                f"{low:.3f} to {high:.3f}: {100 * share:.2f} %</title></rect>"
            )
    return bars


def _thresholds(axis: Axis, thresholds: Thresholds) -> Iterator[str]:
    """Yield both lines with their words, outside of the unsure ground where there is room."""
    low, high = axis.place(thresholds.lower), axis.place(thresholds.upper)
    lower, upper = f"no match below {thresholds.lower:.3f}", f"match from {thresholds.upper:.3f}"
    leftwards = high + 6 + text_width(upper) > _PLOT.right
    rightwards = low - 6 - text_width(lower) < _PLOT.left
    # Words that lie on the unsure ground stand higher than the other line reaches.
    rows = (50, 30) if leftwards else (30, 50)
    for px, words, turned, row in ((low, lower, rightwards, rows[0]), (high, upper, not leftwards, rows[1])):
        anchor, aside = ("start", 6) if turned else ("end", -6)
        yield path([(px, row - 12), (px, _PLOT.bottom)], INK, 1.5)
        yield text(px + aside, row, words, anchor, INK)


def _accepted(scores: ScoreSet, threshold: float) -> tuple[float, float]:
    """Return the shares of negatives and of positives that reach a threshold."""
    return float((scores.negatives >= threshold).mean()), float((scores.positives >= threshold).mean())


def _roc_words(scores: ScoreSet, thresholds: Thresholds) -> str:
    return "; ".join(
        f"from a score of {threshold:.4f} on {100 * found:.2f} percent of the queries with a match are "
        f"accepted, and {100 * alarms:.2f} percent of those without"
        for threshold in (thresholds.upper, thresholds.lower)
        for alarms, found in [_accepted(scores, threshold)]
    )


def _point(scores: ScoreSet, threshold: float, x: Axis, y: Axis, words: str, *, below: bool) -> list[str]:
    """Return a point of the curve and its words: below the curve is room to the right, above to the left."""
    alarms, found = _accepted(scores, threshold)
    px, py = x.place(max(alarms, x.low)), y.place(found)
    words = f"{words} {threshold:.3f}"
    rightwards = px + 10 + text_width(words) <= _PLOT.right
    leftwards = px - 10 - text_width(words) >= _PLOT.left
    anchor, aside = ("start", 10) if rightwards and (below or not leftwards) else ("end", -10)
    down = 22 if below and py + 26 < _PLOT.bottom else -12
    # Where the words must cross the curve after all, a white rim keeps them legible.
    return [
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5" fill="#fff" stroke="{INK}" stroke-width="2"/>',
        '<g stroke="#fff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">'
        f"{text(px + aside, py + down, words, anchor, INK, bold=True)}</g>",
    ]


def _without_middles(corners: Sequence[Place]) -> list[Place]:
    """Return the corners of a curve without those that lie on a straight line between their neighbours."""
    kept: list[Place] = []
    for corner in corners:
        while len(kept) > 1 and (
            kept[-2][0] == kept[-1][0] == corner[0] or kept[-2][1] == kept[-1][1] == corner[1]
        ):
            kept.pop()
        kept.append(corner)
    return kept
