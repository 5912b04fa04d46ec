"""The sensitivity of layers as a page of its own: a bar for each layer, and the table with all numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from edgesim.chart_labels import shortened, text_width
from edgesim.svg import BLUE, GRID, INK, MUTED, VERMILION, Axis, path, text
from edgesim_export.sensitivity import Sensitivity

_ALONE, _SAVED = BLUE, VERMILION
_WIDTH, _TOP, _ROW, _BAR = 860, 46, 34, 11
_RIGHT = _WIDTH - 90
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#1c2026;max-width:860px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;font-size:14px}td,th{padding:.2em .9em .2em 0;text-align:left}"
    "th{border-bottom:1px solid #575e67}td.n{text-align:right;font-variant-numeric:tabular-nums}"
)
HEADER = ("layer", "operators", "alone: mean", "worst", "saved: mean", "worst")


def sensitivity_page(encoder: str, found: Sequence[Sensitivity]) -> str:
    """Return an HTML page that needs nothing from outside.

    Args:
        encoder: name and identity of the encoder.
        found: one for each model file.
    """
    title = f"{escape(encoder)}: what each layer loses by int8"
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>',
        f"<h1>{title}</h1><p>Loss is 1 - cosine between the embeddings by the model file and by the float "
        "encoder, of the pictures that were held out; 0 is no loss. <b>Alone</b>: the loss with this layer "
        "alone in int8. <b>Saved</b>: how much less the whole file loses with this layer in float, which is "
        "what naming it in the recipe's <code>keep_float</code> brings; less than 0 where its error made up "
        "for others'.</p>",
    ]
    for one in found:
        parts.append(
            f"<h2>{escape(one.recipe)}</h2><p>{one.pictures} pictures, by {escape(one.engine)}. All of it in "
            f"int8: mean loss {_number(one.whole.mean)}, worst {_number(one.whole.worst)}.</p>"
        )
        if one.layers:
            parts += [sensitivity_chart(one), _table(one)]
        else:
            parts.append("<p>This recipe quantises nothing.</p>")
    return "\n".join(parts) + "\n"


def table_rows(one: Sensitivity) -> list[tuple[str, ...]]:
    """Return a row of texts for each layer, under `HEADER`."""
    return [
        (
            row.layer,
            ", ".join(row.operators),
            *map(_number, (row.alone.mean, row.alone.worst, saved.mean, saved.worst)),
        )
        for row, saved in ((row, one.saved(row)) for row in one.layers)
    ]


def sensitivity_chart(one: Sensitivity) -> str:
    """Return the mean losses as an `<svg>` element: two bars for each layer, in the order of execution."""
    names = [shortened(row.layer) for row in one.layers]
    pairs = [(row.alone.mean, one.saved(row).mean) for row in one.layers]
    x = _axis([value for pair in pairs for value in pair], 16 + max(map(text_width, names)))
    bottom = _TOP + _ROW * len(names)
    parts = [_head(one, bottom + 52), *_legend(x.start)]
    for tick in x.ticks:
        parts.append(path([(x.place(tick), _TOP), (x.place(tick), bottom)], GRID))
        parts.append(text(x.place(tick), bottom + 20, _number(tick), "middle"))
    parts.append(text((x.start + x.end) / 2, bottom + 42, "loss, 1 - mean cosine", "middle", INK))
    for number, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        top = _TOP + _ROW * number
        parts.append(text(x.start - 8, top + _ROW / 2 + 5, name, "end", INK))
        parts += [*_bar(x, pair[0], top + 5, _ALONE), *_bar(x, pair[1], top + 7 + _BAR, _SAVED)]
    parts.append(path([(x.place(0), _TOP), (x.place(0), bottom)], MUTED))
    return "\n".join([*parts, "</svg>"])


def _axis(values: Sequence[float], start: float) -> Axis:
    """Return an axis that holds 0 and all values, with eight ticks at most."""
    low, high = min(0.0, *values), max(1e-9, *values)
    power = 10.0 ** math.floor(math.log10(high - low))
    step = next(s * power for s in (0.2, 0.5, 1, 2) if high - low <= 6 * s * power)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(step * i for i in range(first, last + 1))
    return Axis(low=ticks[0], high=ticks[-1], start=start, end=_RIGHT, ticks=ticks)


def _head(one: Sensitivity, height: float) -> str:
    worst = max(one.layers, key=lambda row: row.alone.mean)
    told = f"{len(one.layers)} layers; alone in int8, {worst.layer} loses most, {_number(worst.alone.mean)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(told)}" font-family="system-ui, sans-serif" font-size="14">'
    )


def _legend(left: float) -> list[str]:
    parts = []
    for colour, words in ((_ALONE, "lost with this layer alone in int8"), (_SAVED, "saved with it in float")):
        parts += [_rectangle(left, 14, 22, colour), text(left + 30, 25, words, "start")]
        left += 70 + text_width(words)
    return parts


def _bar(x: Axis, value: float, y: float, colour: str) -> list[str]:
    left, right = sorted((x.place(0), x.place(value)))
    label = text(right + 5, y + 9.5, _number(value), "start")
    return [_rectangle(left, y, right - left, colour), f'<g font-size="11">{label}</g>']


def _rectangle(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{_BAR}" fill="{colour}"/>'


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) >= 5e-8 else "0"


def _table(one: Sensitivity) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in HEADER)
    rows = [
        "<tr>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells[:2])
        + "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells[2:])
        + "</tr>"
        for cells in table_rows(one)
    ]
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
