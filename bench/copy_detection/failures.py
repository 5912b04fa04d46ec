"""An encoder's confidently wrong answers, by rows of a contact sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from copy_detection.benchmark import Part, load_picture, query_picture
from copy_detection.edits import HARD
from copy_detection.peers import CopyEncoder
from copy_detection.scores import embed_all, predict_versions
from edgesim.contact_sheet import Pair, Row
from edgesim.copy_metrics import Predictions

PER_ROW = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """Queries, and what each is to find; queries and references go by their numbers.

    Attributes:
        references: image files.
        names: what the sheet calls them.
        rows: of each query, the row that it belongs to.
        subjects: of each query, what it shows; a row shows each once.
        picture: makes a query's picture.
        right: says whether a reference is what a query is to find.
        measure: what the share of right answers is called.
        source: where the pictures are from.
    """

    references: Sequence[Path]
    names: Sequence[str]
    rows: Sequence[str]
    subjects: Sequence[str]
    picture: Callable[[int], Image.Image]
    right: Callable[[int, int], bool]
    measure: str
    source: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """A query's best match; `margin` is its lead over the best wrong one, 0 where it is wrong itself."""

    query: int
    match: int
    score: float
    margin: float
    right: bool


def best_answers(predictions: Predictions, right: Callable[[int, int], bool]) -> list[Answer]:
    """Return the answer to each query, from predictions that are sorted by query, best first."""
    numbers, starts = np.unique(predictions.queries, return_index=True)
    found = []
    for query, references, scores in zip(
        numbers.tolist(),
        np.split(predictions.references, starts[1:]),
        np.split(predictions.scores, starts[1:]),
        strict=True,
    ):
        are_right = [right(query, reference) for reference in references.tolist()]
        wrong = max(
            (float(s) for s, good in zip(scores, are_right, strict=True) if not good), default=-np.inf
        )
        best = float(scores[0])
        found.append(Answer(query, int(references[0]), best, best - wrong, are_right[0]))
    return found


def select(answers: Sequence[Answer], subjects: Sequence[str], count: int = PER_ROW) -> list[Answer]:
    """Return what a row shows: the most confidently wrong answers, then the right ones of least margin.

    Of each subject only the first in this order.
    """
    order = sorted(answers, key=lambda a: (a.right, a.margin if a.right else -a.score, a.query))
    first: dict[str, Answer] = {}
    for answer in order:
        first.setdefault(subjects[answer.query], answer)
    return list(first.values())[:count]


def copies(root: Path, part: Part, source: str) -> Problem:
    """Return the hard edits of a part whose original is among its references."""
    asked = [query for query in part.queries if query.reference is not None and query.label in HARD]
    return Problem(
        references=[root / name for name in part.references],
        names=[Path(name).stem for name in part.references],
        rows=[query.label for query in asked],
        subjects=[Path(query.source).stem for query in asked],
        picture=lambda number: query_picture(root, asked[number]),
        right=lambda number, reference: asked[number].reference == reference,
        measure="recall@1",
        source=source,
    )


def answer_all(problem: Problem, encoder: CopyEncoder) -> list[Answer]:
    """Return the encoder's answer to every query."""
    originals = (load_picture(path) for path in problem.references)
    references = embed_all(originals, len(problem.references), [encoder], "references", queries=False)
    pictures = (problem.picture(number) for number in range(len(problem.rows)))
    queries = embed_all(pictures, len(problem.rows), [encoder], "queries", queries=True)
    return best_answers(predict_versions(queries[0], references[0]), problem.right)


def sheet_rows(problem: Problem, answers: Sequence[Answer], folder: Path) -> list[Row]:
    """Return the rows of the contact sheet; the pictures of the queries are written into a folder."""
    rows = []
    for name in dict.fromkeys(problem.rows):
        mine = [answer for answer in answers if problem.rows[answer.query] == name]
        share = sum(answer.right for answer in mine) / len(mine)
        pairs = [_pair(problem, answer, folder) for answer in select(mine, problem.subjects)]
        rows.append(Row(heading=name, note=f"{problem.measure} {share:.2f}", pairs=pairs))
    return rows


def _pair(problem: Problem, answer: Answer, folder: Path) -> Pair:
    query = folder / f"query-{answer.query}.png"
    problem.picture(answer.query).save(query)
    return Pair(
        query=query,
        match=problem.references[answer.match],
        query_caption=problem.subjects[answer.query],
        match_caption=problem.names[answer.match],
        score=answer.score,
        right=answer.right,
    )
