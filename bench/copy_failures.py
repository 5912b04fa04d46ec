"""What an encoder mistakes, in pictures: a contact sheet of its confidently wrong answers.

    python bench/copy_failures.py [--encoder copy] [--seeds 5]
    python bench/copy_failures.py SETS --out FILE.png [--encoder copy|similar|FOLDER] [--products]

Without SETS: copies of the photographs in the public domain that scikit-image ships, by the hard edits of
copy_edits.py, some of each; the sheet goes to docs/copy-failures.png. With SETS: the hard edits of the part
`lookalikes` of copy_benchmark.py, or with --products, and with the encoder similar, the grocery photos of
bench_similar.py. Photographs of SETS are other people's: that sheet goes to --out, never into docs.

A row shows the wrong answers of one edit, or kind of product, with the highest score, the worst first, each
original once; where they are too few, the right ones with the least lead over a wrong one, marked right.
Queries without a match in the collection are left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from bench_similar import gallery_and_queries, product
from copy_benchmark import Part, Query, load_picture, make_plan, query_picture
from copy_edits import HARD
from copy_peers import CopyEncoder, open_own
from copy_scores import embed_all, predict_versions
from heldout_split import image_names
from PIL import Image

from edgesim.builtin import DEFAULT_ENCODER
from edgesim.contact_sheet import Pair, Row, draw_contact_sheet
from edgesim.copy_metrics import Predictions
from edgesim.errors import EdgesimError, UsageError
from edgesim.sample_photos import sample_photos

DOCS = Path(__file__).parent.parent / "docs"
SHEET = DOCS / "copy-failures.png"
PER_ROW = 3
# Sample photographs that somebody has rights in; the others may stand in a picture of the repository.
_OWNED = ("china", "flower", "motorcycle_left")


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


def sample_copies(folder: Path, seeds: int) -> Problem:
    """Return every hard edit of the sample photographs, `seeds` times; `folder` gets what is drawn for it."""
    photos = [str(photo) for photo in sample_photos("bench/copy_failures.py") if photo.stem not in _OWNED]
    canvases = [_draw_canvas(folder / f"canvas-{turn}.png", turn) for turn in range(seeds)]
    queries = [
        Query(photo, (edit,), turn * len(photos) + row, canvas, row, edit)
        for edit in HARD
        for turn, canvas in enumerate(canvases)
        for row, photo in enumerate(photos)
    ]
    source = f"{len(queries)} copies of {len(photos)} photographs that scikit-image ships"
    return copies(folder, Part(tuple(photos), tuple(queries)), source)


def _draw_canvas(path: Path, seed: int) -> str:
    """Draw what copies are laid onto. A photograph would be a reference too, and finding it no mistake."""
    fields = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(fields).resize((640, 480), Image.Resampling.BICUBIC).save(path)
    return str(path)


def products(root: Path) -> Problem:
    """Return the grocery photos of bench_similar.py, a row each kind: the folder below train and test."""
    gallery, queries = gallery_and_queries(image_names(root))
    return Problem(
        references=[root / name for name in gallery],
        names=[product(name) for name in gallery],
        rows=[name.partition("__test__")[2].partition("__")[0] for name in queries],
        subjects=[product(name) for name in queries],
        picture=lambda number: load_picture(root / queries[number]),
        right=lambda number, reference: product(queries[number]) == product(gallery[reference]),
        measure="accuracy",
        source=f"{len(queries)} grocery photos among {len(gallery)} others",
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


def sheet_path(sets: Path | None, out: Path | None) -> Path:
    """Return where the sheet goes. Raises `UsageError` if photographs of SETS would get into docs."""
    if sets is None:
        return out or SHEET
    if out is None or out.resolve().is_relative_to(DOCS.resolve()):
        raise UsageError(
            f"--out: expected a file outside docs, as the sheet will show photographs of {sets}, got "
            f"{out or 'none'}; name one, such as --out failures.png"
        )
    return out


def pose(args: argparse.Namespace, folder: Path) -> Problem:
    """Return the problem that the options name. Raises `UsageError` for products without their photos."""
    kinds = args.products or args.encoder == "similar"
    if args.sets is None and kinds:
        raise UsageError("expected SETS, with the set grocery, for products; got none")
    if args.sets is None:
        return sample_copies(folder, args.seeds)
    if kinds:
        return products(args.sets)
    plan = make_plan(args.sets)
    return copies(args.sets, plan.parts["lookalikes"], f"part lookalikes, {plan.used}")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path, nargs="?")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="copy, similar, a bundle or a run")
    parser.add_argument("--products", action="store_true", help="ask for products, whatever the encoder")
    parser.add_argument("--seeds", type=int, default=5, help="copies of each photograph by each edit")
    parser.add_argument("--out", type=Path, metavar="FILE.png")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_arguments(arguments)
    try:
        out = sheet_path(args.sets, args.out)
        encoder = open_own(args.encoder)[0]
        with tempfile.TemporaryDirectory() as temporary:
            problem = pose(args, Path(temporary))
            answers = answer_all(problem, encoder)
            rows = sheet_rows(problem, answers, Path(temporary))
            sheet = draw_contact_sheet(f"What {encoder.name} mistakes", problem.source, rows)
    except EdgesimError as error:
        sys.exit(str(error))
    # 256 colours are enough for thumbnails, and make 0.5 MB of 1.4.
    sheet.quantize(256).save(out, optimize=True)
    wrong = sum(not answer.right for answer in answers)
    print(f"{out}: {wrong} of {len(answers)} answers are wrong")


if __name__ == "__main__":
    main()
