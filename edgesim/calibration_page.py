"""A calibration as one HTML page without other files: thresholds, verdicts, curves and the hardest cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape

from PIL import Image

from edgesim.binomial import Share
from edgesim.html_page import html_page
from edgesim.html_pictures import picture_tag
from edgesim.score_charts import distribution_chart, roc_chart
from edgesim.thresholds import VERDICTS, Calibration, Scores, ScoreSet, Thresholds, verdict_shares

# Pixels of the longer side of a picture.
_SIDE = 110

_STYLE = """
p { margin: .2rem 0; color: #575e67 }
.answer { color: #1c2026 }
svg { display: block; width: 100%; margin: .8rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem 1.6rem .25rem 0; border-bottom: 1px solid #dde1e6; text-align: right }
th { font-weight: 400 }
tbody th { text-align: left }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 1rem;
  margin: .8rem 0 }
.case { display: flex; gap: .5rem; flex-wrap: wrap; align-items: flex-start }
.case p { flex: 1 0 100%; color: #1c2026; font-weight: 600 }
figure { margin: 0; width: 112px; text-align: center }
img { width: 112px; height: 112px; object-fit: contain; border: 1px solid #aab1ba; background: #f2f3f5 }
figcaption { font-size: 11.5px; line-height: 1.25; overflow-wrap: anywhere; color: #575e67 }
.scroll { overflow-x: auto }
@media print { svg, tr, .case { break-inside: avoid } h2 { break-after: avoid } }
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A query and the entry whose score it got; a picture is None where it cannot be read any more."""

    score: float
    query: str
    query_picture: Image.Image | None
    entry: str
    entry_picture: Image.Image | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageFacts:
    """What the page says besides figures.

    Attributes:
        index: the index, as the user calls it.
        encoder: name and identity.
        entries: how many the index has.
        source: where the known answers come from.
        background: how many images scores are normalised by, 0 for plain similarities.
        notes: what was left out and why.
    """

    index: str
    encoder: str
    entries: int
    source: str
    background: int
    notes: Sequence[str] = ()


def calibration_page(
    facts: PageFacts,
    scores: ScoreSet,
    calibration: Calibration,
    missed: Sequence[Case],
    alarming: Sequence[Case],
) -> str:
    """Return the page as HTML with inline style, SVG and JPEG pictures.

    Args:
        facts: of the index.
        scores: from which the thresholds were made.
        calibration: the thresholds.
        missed: the queries with a match and the lowest scores.
        alarming: the queries without a match and the highest scores.
    """
    title = f"Thresholds of {facts.index}"
    thresholds = calibration.thresholds
    parts = [
        f"<p>{facts.entries:,} entries, encoder {escape(facts.encoder)}; made from {escape(facts.source)}. "
        f"{_score_words(facts.background)}</p>",
        *(f"<p>{escape(note)}</p>" for note in facts.notes),
        "<h2>What a score means</h2>",
        *(f'<p class="answer">{sentence}</p>' for sentence in sentences(calibration)),
        "<h2>What queries are told</h2>",
        _verdicts(scores, thresholds),
        "<h2>Distribution of the scores</h2>",
        "<p>Upwards the queries with a match, downwards those without; a bar is its share of its kind. "
        "Scores on the shaded ground are unsure.</p>",
        distribution_chart(scores, thresholds),
        "<h2>Receiver operating characteristic</h2>",
        "<p>What each threshold would accept.</p>",
        roc_chart(scores, thresholds),
        _cases(
            "Most alarming",
            "The queries without a match that score highest. If they do show the same, they are not false "
            "alarms: remove one of the two from the index, or say so in the pairs, and calibrate again.",
            alarming,
        ),
        _cases("Hardest to find", "The queries with a match that score lowest, and the match.", missed),
    ]
    return html_page(title, _STYLE, parts, width=900)


def _score_words(background: int) -> str:
    if not background:
        return "The score is the similarity."
    return (
        "The score is the similarity less the mean similarity to the three nearest of "
        f"{background:,} background images, of which no query shows one."
    )


def sentences(calibration: Calibration) -> list[str]:
    """Return what the thresholds mean and how sure that is, a sentence each."""
    thresholds, aims = calibration.thresholds, calibration.aims
    sure = f"with {100 * aims.confidence:g} % confidence"
    unsure = "unsure between" if thresholds.lower < thresholds.upper else "never unsure"
    return [
        f"match from {thresholds.upper:.4f} on; no match below {thresholds.lower:.4f}; {unsure}.",
        f"false alarms: {_share(calibration.false_alarms)} queries without a match are called a match, "
        f"{_limits(calibration.false_alarms)} {sure}; at most {100 * aims.false_alarms:g} % was asked for.",
        f"misses: {_share(calibration.misses)} queries with a match are called no match, "
        f"{_limits(calibration.misses)} {sure}; at most {100 * aims.misses:g} % was asked for.",
    ]


def _share(share: Share) -> str:
    return f"{share.events:,} of {share.trials:,}"


def _limits(share: Share) -> str:
    return f"at least {100 * share.at_least:.3g} % and at most {100 * share.at_most:.3g} %"


def _verdicts(scores: ScoreSet, thresholds: Thresholds) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in ("queries", *VERDICTS))
    rows = _row("with a match", scores.positives, thresholds) + _row(
        "without a match", scores.negatives, thresholds
    )
    table = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _row(name: str, scores: Scores, thresholds: Thresholds) -> str:
    shares = verdict_shares(scores, thresholds)
    cells = "".join(f"<td>{100 * shares[verdict]:.2f} %</td>" for verdict in VERDICTS)
    return f'<tr><th scope="row">{name}</th><td>{len(scores):,}</td>{cells}</tr>'


def _cases(heading: str, words: str, cases: Sequence[Case]) -> str:
    return f'<h2>{heading}</h2><p>{words}</p><div class="cases">{"".join(map(_case, cases))}</div>'


def _case(case: Case) -> str:
    query = picture_tag(case.query_picture, "query", _SIDE)
    entry = picture_tag(case.entry_picture, "entry", _SIDE)
    return (
        f'<div class="case"><p>{case.score:.4f}</p>'
        f"<figure>{query}<figcaption>{escape(case.query)}</figcaption></figure>"
        f"<figure>{entry}<figcaption>{escape(case.entry)}</figcaption></figure></div>"
    )
