"""The explanation of a match as one HTML page without other files: where two pictures agree, in colour."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from edgesim.html_page import html_page
from edgesim.html_pictures import picture_tag
from edgesim.metrics import FloatArray

# Pixels of the longer side of a picture.
_SIDE = 420
# Vermilion and blue of the Okabe-Ito palette, which are told apart in every kind of colour blindness.
_AGREES = np.array([213.0, 94.0, 0.0])
_DIFFERS = np.array([0.0, 114.0, 178.0])
# How much of the strongest colour covers the picture, and the change of similarity that gets the full colour
# at least: without it, noise would glow. Our choice.
_COVER = 0.75
_FAINT = 0.02

_STYLE = """
p { margin: .2rem 0; color: #575e67 }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 1rem 2rem }
figure { margin: .6rem 0 }
img { display: block; width: 100%; max-height: 420px; object-fit: contain; object-position: left top }
figcaption { font-size: 13px; color: #575e67; overflow-wrap: anywhere; margin-top: .3rem }
.agrees, .differs { display: inline-block; width: .9em; height: .9em; vertical-align: -.1em }
.agrees { background: rgb(213,94,0) }
.differs { background: rgb(0,114,178) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem 1.3rem .25rem 0; border-bottom: 1px solid #dde1e6; text-align: left }
th, td { white-space: nowrap }
th { font-weight: 400 }
.this { font-weight: 600 }
.scroll { overflow-x: auto }
@media print {
  img, .agrees, .differs { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  figure, tr { break-inside: avoid }
}
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two pictures.

    Attributes:
        name: path of its file.
        picture: RGB.
        changes: (8, 8), how much the similarity falls when a region is hidden.
    """

    name: str
    picture: Image.Image
    changes: FloatArray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row of the table of candidates.

    `score` is None where scores are not normalised, and `verdict` where the index has no thresholds.
    """

    rank: int
    similarity: float
    score: float | None
    verdict: str | None
    path: str
    explained: bool


def explanation_page(
    query: Side, entry: Side, similarity: float, margin: float | None, candidates: Sequence[Candidate]
) -> str:
    """Return the page as HTML with inline style and JPEG pictures.

    Args:
        query: the picture that was looked up.
        entry: the match that is explained.
        similarity: of the two.
        margin: to the next candidate, None if there is none.
        candidates: the answers to the query, the explained one among them.
    """
    title = "What the two pictures have in common"
    parts = [
        f"<p>Similarity {similarity:.4f}; {_margin(margin)}</p>",
        '<p><span class="agrees"></span> agrees: hidden, the similarity falls. '
        '<span class="differs"></span> differs: hidden, it rises. Each picture has its own full colour, at '
        "the change of similarity below it.</p>",
        f'<div class="pictures">{_side("Query", query)}{_side("Match", entry)}</div>',
        "<h2>Candidates</h2>",
        _table(candidates),
    ]
    return html_page(title, _STYLE, parts, width=920)


def heat_picture(side: Side) -> Image.Image:
    """Return the picture in grey, with the regions that agree and differ in colour."""
    picture = side.picture.copy()
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    grey = np.asarray(picture.convert("L"), dtype=np.float64)[..., None]
    depth = Image.fromarray(np.asarray(side.changes / full_colour(side.changes), dtype=np.float32))
    shares = np.asarray(depth.resize(picture.size, Image.Resampling.BICUBIC), dtype=np.float64)[..., None]
    cover = _COVER * np.clip(np.abs(shares), 0, 1)
    colour = np.where(shares > 0, _AGREES, _DIFFERS)
    return Image.fromarray((grey * (1 - cover) + colour * cover).round().astype(np.uint8))


def full_colour(changes: FloatArray) -> float:
    """Return the change of similarity that gets the full colour."""
    return max(_FAINT, float(np.abs(changes).max()))


def _margin(margin: float | None) -> str:
    return "there is no next candidate." if margin is None else f"{margin:.4f} ahead of the next candidate."


def _side(heading: str, side: Side) -> str:
    heat = picture_tag(heat_picture(side), f"{heading}, with the regions that agree in colour", _SIDE)
    plain = picture_tag(side.picture, heading, _SIDE)
    return (
        f"<section><h2>{heading}</h2><figure>{heat}<figcaption>full colour at a change of "
        f"{full_colour(side.changes):.3f}</figcaption></figure>"
        f"<figure>{plain}<figcaption>{escape(side.name)}</figcaption></figure></section>"
    )


def _table(candidates: Sequence[Candidate]) -> str:
    scored = any(candidate.score is not None for candidate in candidates)
    judged = any(candidate.verdict is not None for candidate in candidates)
    names = ["rank", "similarity", *["score"] * scored, *["verdict"] * judged, "path"]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(_row(candidate, scored, judged) for candidate in candidates)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(candidate: Candidate, scored: bool, judged: bool) -> str:
    cells = [
        str(candidate.rank),
        f"{candidate.similarity:.4f}",
        *([f"{candidate.score:.4f}"] if scored else []),
        *([str(candidate.verdict)] if judged else []),
        escape(candidate.path),
    ]
    kind = ' class="this"' if candidate.explained else ""
    return f"<tr{kind}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
