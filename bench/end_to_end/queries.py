"""Edited copies of some photos of a folder, as JPEG files: what bench_end_to_end.py looks up.

    python -m end_to_end.queries FOLDER OUT [--count 1000]      in bench/

The photos are those whose name has the lowest SHA-256; the edits of copy_detection/edits.py, mild and hard,
take turns. What an edit lays them onto is drawn, so that no second photo of the folder is in a query.
OUT/queries holds the copies; OUT/truth.json says for the name of each which photo it is of, by which edit,
and of which kind.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_cli import draw_photos
from copy_detection.benchmark import load_picture
from copy_detection.edits import EDITS, HARD, apply_edits
from heldout_split import by_hash

from edgesim.errors import EdgesimError, InputError

CANVASES = 8


def make_queries(folder: Path, out: Path, count: int) -> None:
    """Write the copies. Raises `InputError` if the folder has fewer JPEG files than that."""
    names = by_hash(path.name for path in folder.glob("*.jpg"))
    if len(names) < count:
        raise InputError(f"{folder}: {len(names)} files *.jpg, expected {count} or more; pass --queries less")
    queries = out / "queries"
    queries.mkdir(parents=True)
    truth = {}
    with tempfile.TemporaryDirectory() as work:
        draw_photos(Path(work) / "canvases", CANVASES)
        canvases = [load_picture(path) for path in sorted(Path(work, "canvases").iterdir())]
    for number, name in enumerate(names[:count]):
        edit = list(EDITS)[number % len(EDITS)]
        rng = np.random.default_rng(number)
        copy = apply_edits(load_picture(folder / name), [edit], rng, canvases[number % CANVASES])
        title = f"{number:04d}.jpg"
        copy.save(queries / title, quality=90)
        truth[title] = {"photo": name, "edit": edit, "kind": "hard" if edit in HARD else "mild"}
    (out / "truth.json").write_text(json.dumps(truth))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=1_000)
    args = parser.parse_args()
    try:
        make_queries(args.folder, args.out, args.count)
    except EdgesimError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
