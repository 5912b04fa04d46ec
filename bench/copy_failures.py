"""What an encoder mistakes, in pictures: a contact sheet of its confidently wrong answers.

    python bench/copy_failures.py [--encoder copy] [--seeds 5]
    python bench/copy_failures.py SETS --out FILE.png [--encoder copy|similar|FOLDER] [--products]

Without SETS: copies of the photographs in the public domain that scikit-image ships, by the hard edits of
copy_detection/edits.py, some of each; the sheet goes to docs/copy-failures.png. With SETS: the hard edits of
the part `lookalikes` of copy_detection/benchmark.py, or with --products, and with the encoder similar, the
grocery photos of bench_similar.py. Photographs of SETS are other people's: that sheet goes to --out, never
into docs.

A row shows the wrong answers of one edit, or kind of product, with the highest score, the worst first, each
original once; where they are too few, the right ones with the least lead over a wrong one, marked right.
Queries without a match in the collection are left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_similar import gallery_and_queries, product
from copy_detection.benchmark import Part, Query, load_picture, make_plan
from copy_detection.edits import HARD
from copy_detection.failures import Problem, answer_all, copies, sheet_rows
from copy_detection.peers import open_own
from heldout_split import image_names
from PIL import Image

from edgesim.builtin import DEFAULT_ENCODER
from edgesim.contact_sheet import draw_contact_sheet
from edgesim.errors import EdgesimError, UsageError
from edgesim.sample_photos import sample_photos

DOCS = Path(__file__).parent.parent / "docs"
SHEET = DOCS / "copy-failures.png"
# Sample photographs that somebody has rights in; the others may stand in a picture of the repository.
_OWNED = ("china", "flower", "motorcycle_left")


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
