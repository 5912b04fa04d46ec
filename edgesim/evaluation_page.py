"""An evaluation as one HTML page without other files: figures, curve, confusion matrix, neighbours."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesim.evaluation import Evaluation
from edgesim.html_page import html_page
from edgesim.preprocess import Pixels
from edgesim.size_quality import Point, pareto_front
from edgesim.size_quality_chart import size_quality_chart

# Queries of each kind, those answered right and those answered wrong, and pixels of a picture's longer side.
_QUERIES = 8
_SIDE = 64
# The darkest blue of the matrix (RGB), at 100 percent; white is 0.
_FULL = np.array([8, 64, 129])

# Bluish green and vermilion of the Okabe-Ito palette, which are told apart in every kind of colour blindness;
# the sign and the kind of outline say the same again.
_STYLE = """
h3 { font-size: 1rem; margin: 1rem 0 .4rem }
p { margin: .2rem 0; color: #575e67 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th { font-weight: 400; text-align: right }
.figures th, .figures td { padding: .25rem 0; border-bottom: 1px solid #dde1e6 }
.figures th { text-align: left; padding-right: 2rem }
.figures td { text-align: right; font-weight: 600 }
.curve svg { display: block; width: 100%; max-width: 860px; margin: .8rem 0 }
.points th, .points td { padding: .25rem 1.3rem .25rem 0; border-bottom: 1px solid #dde1e6 }
.points td { text-align: right }
.points .text { text-align: left }
.points .this { font-weight: 600 }
.scroll { overflow-x: auto }
.matrix { font-size: 13px }
.matrix th { padding: .2rem .5rem }
.matrix thead th { text-align: center }
.matrix tbody td { min-width: 3.2rem; height: 2rem; text-align: center; border: 1px solid #fff }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(540px, 1fr)); gap: 0 2.5rem }
.row { display: flex; gap: .5rem; margin: .5rem 0 }
figure { margin: 0; width: 80px; text-align: center }
.query { margin-right: .9rem }
img { width: 64px; height: 64px; object-fit: contain; image-rendering: pixelated; border: 4px solid #aab1ba }
.right img { border-color: #008a64 }
.wrong img { border-color: #d55e00; border-style: dashed }
.right b { color: #00694c }
.wrong b { color: #a84a00 }
figcaption { font-size: 11.5px; line-height: 1.25; overflow-wrap: anywhere }
@media print {
  .matrix td { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  svg, tr, .row { break-inside: avoid }
  h2, h3 { break-after: avoid }
}
"""

_NAMES = {
    "precision_at_1": "precision@1",
    "precision_at_10": "precision@10",
    "r_precision": "R-precision",
    "map_at_r": "mAP@R",
}


def evaluation_page(evaluation: Evaluation, pixels: Pixels, points: Sequence[Point] = ()) -> str:
    """Return the page as HTML with inline style and PNG pictures.

    Args:
        evaluation: what was measured.
        pixels: (N, S, S, 3) uint8 RGB, the images evaluated, in the order of its labels.
        points: the encoders to compare, this one among them; the curve is drawn from two on.
    """
    subject = evaluation.subject
    title = f"{subject.encoder} on {subject.dataset}"
    parts = [
        f"<p>{escape(subject.engine)}, model file of {subject.model_bytes:,} bytes; "
        f"{len(evaluation.labels):,} images of {len(evaluation.classes)} classes, each looked up among all "
        "others</p>",
        _figures(evaluation),
        _size_and_quality(points, Point.of(evaluation)),
        _matrix(evaluation),
        _answers(evaluation, pixels),
    ]
    return html_page(title, _STYLE, parts, width=1180)


def _figures(evaluation: Evaluation) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_NAMES[name]}</th><td>{100 * value:.2f} %</td></tr>'
        for name, value in evaluation.metrics.items()
    )
    return f'<h2>Figures</h2><table class="figures">{rows}</table>'


def _size_and_quality(points: Sequence[Point], this: Point) -> str:
    heading = "<h2>Model size and quality</h2>"
    if len(points) < 2:
        return (
            f"{heading}<p>One encoder makes no curve: <code>edgesim evaluate --compare FILE|FOLDER</code> "
            "adds others that were evaluated on the same images with <code>--out</code>.</p>"
        )
    front = pareto_front(points)
    rows = "".join(_point_row(point, point == this, point in front) for point in points)
    return (
        f"{heading}<p>All on the same images. Model file: of a run its float encoder.pt, of a bundle the "
        "int8 model that the engine runs. The line is the Pareto front: the best precision@1 that a file of "
        f'at most that size reaches.</p><div class="curve">{size_quality_chart(points, this)}</div>'
        '<div class="scroll"><table class="points"><thead><tr><th scope="col">model file (bytes)</th>'
        '<th scope="col">precision@1</th><th scope="col" class="text">Pareto front</th>'
        '<th scope="col" class="text">encoder</th><th scope="col" class="text">engine</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _point_row(point: Point, this: bool, on_front: bool) -> str:
    return (
        f'<tr class="{"this" if this else "other"}"><td>{point.model_bytes:,}</td>'
        f'<td>{100 * point.precision_at_1:.2f} %</td><td class="text">{"✓" if on_front else ""}</td>'
        f'<td class="text">{escape(point.encoder)}</td><td class="text">{escape(point.engine)}</td></tr>'
    )


def _matrix(evaluation: Evaluation) -> str:
    names = [escape(name) for name in evaluation.classes]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(map(_cell, shares))}</tr>'
        for name, shares in zip(names, evaluation.confusion.tolist(), strict=True)
    )
    return (
        "<h2>Similarity confusion matrix</h2><p>Row: class of the query. Column: class of its "
        f"{evaluation.confusion_neighbours} nearest neighbours. Percent; a row sums to 100.</p>"
        f'<div class="scroll"><table class="matrix"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(percent: float) -> str:
    # The square root makes the few percents visible that matter beside the diagonal. Our choice.
    depth = (percent / 100) ** 0.5
    red, green, blue = (255 - depth * (255 - _FULL)).astype(int)
    ink = "#fff" if depth > 0.6 else "#1c2026"
    return f'<td style="background:rgb({red},{green},{blue});color:{ink}">{percent:.1f}</td>'


def _answers(evaluation: Evaluation, pixels: Pixels) -> str:
    labels = evaluation.labels
    right = labels[evaluation.neighbours[:, 0]] == labels
    columns = []
    for heading, found in (("Answered right", right), ("Answered wrong", ~right)):
        rows = "".join(_row(evaluation, pixels, query) for query in _spread(np.flatnonzero(found)))
        counts = f"{found.sum():,} of {len(labels):,}"
        columns.append(f"<section><h3>{heading}: {counts}</h3>{rows}</section>")
    return (
        "<h2>Queries and their nearest neighbours</h2><p>Left the query, then its neighbours, nearest first, "
        "with their similarity. ✓ and a full line: of the query's class. ✗ and a dashed line: of another.</p>"
        f'<div class="answers">{"".join(columns)}</div>'
    )


def _spread(rows: NDArray[np.intp]) -> list[int]:
    """Return at most 8 of the rows, evenly spaced: the same at every run, and not picked by eye."""
    places = np.linspace(0, len(rows) - 1, min(_QUERIES, len(rows))).round().astype(int)
    return [int(row) for row in rows[places]]


def _row(evaluation: Evaluation, pixels: Pixels, query: int) -> str:
    label = evaluation.labels[query]
    figures = [_figure(pixels[query], "query", evaluation.classes[label], "query")]
    found = zip(evaluation.neighbours[query], evaluation.similarities[query], strict=True)
    for row, similarity in found:
        same = evaluation.labels[row] == label
        caption = f"{'✓' if same else '✗'} {similarity:.2f}"
        name = evaluation.classes[evaluation.labels[row]]
        figures.append(_figure(pixels[row], "right" if same else "wrong", name, caption))
    return f'<div class="row">{"".join(figures)}</div>'


def _figure(pixels: Pixels, kind: str, name: str, caption: str) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode()
    return (
        f'<figure class="{kind}"><img alt="{escape(name)}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{caption}</b><br>{escape(name)}</figcaption></figure>"
    )
