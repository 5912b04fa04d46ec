"""Kind, not copy: how often the nearest neighbour of a grocery photo shows the same product.

    python bench/bench_similar.py SETS [--encoder copy similar FOLDER ...] [--run RUN] [--peers FOLDER]
        [--sscd ONNX] [--hashes]

SETS holds the set grocery, its file names made of the path in the data set, joined by two underscores; the
product is the last folder before the file. The gallery is every second photo of the train part, the queries
are every fifth of the test part: by sorted file name, for the set's own lists are not among its files.
Results go to bench/results/copy/similar.json, merged by the encoder's name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from copy_detection.benchmark import load_picture
from copy_detection.peers import CopyEncoder, add_arguments, open_encoders
from copy_detection.scores import embed_all, predict_versions
from harness import RESULTS, describe_machine, machine_line, write_result
from heldout_split import image_names, of_set
from pages.copy_detection import SIMILAR, similar_table

from edgesim.errors import EdgesimError, InputError


def product(name: str) -> str:
    """Return the product that a photo shows."""
    return name.split("__")[-2]


def gallery_and_queries(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the photos of both roles. Raises `InputError` if there are none."""
    grocery = sorted(of_set(names, "grocery"))
    gallery = [name for name in grocery if "__train__" in name][::2]
    queries = [name for name in grocery if "__test__" in name][::5]
    if not gallery or not queries:
        raise InputError("expected the set grocery, with photos of its train and its test part, found none")
    return gallery, queries


def accuracies(
    root: Path, gallery: Sequence[str], queries: Sequence[str], encoders: Sequence[CopyEncoder]
) -> dict[str, float]:
    """Return the share of queries whose nearest gallery photo shows the right product, by encoder."""
    right = np.array([[product(query) == product(name) for name in gallery] for query in queries])
    sides = [
        embed_all(
            (load_picture(root / name) for name in names), len(names), encoders, title, title == "queries"
        )
        for title, names in (("gallery", gallery), ("queries", queries))
    ]
    found = {}
    for encoder, references, asked in zip(encoders, *sides, strict=True):
        predictions = predict_versions(asked, references)
        _, first = np.unique(predictions.queries, return_index=True)  # best first within a query
        nearest = predictions.references[first]
        found[encoder.name] = float(right[np.arange(len(queries)), nearest].mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path)
    add_arguments(parser)
    args = parser.parse_args()
    try:
        encoders = open_encoders(args)
        gallery, queries = gallery_and_queries(image_names(args.sets))
        found = accuracies(args.sets, gallery, queries, encoders)
    except EdgesimError as error:
        sys.exit(str(error))
    machine = machine_line(describe_machine())
    figures: dict[str, Any] = {
        encoder.name: {
            "bytes": encoder.bytes,
            "dim": encoder.dim,
            "accuracy": round(found[encoder.name], 4),
            "machine": machine,
        }
        for encoder in encoders
    }
    print(similar_table({"encoders": figures}))
    path = RESULTS / f"{SIMILAR}.json"
    before = json.loads(path.read_text())["encoders"] if path.exists() else {}
    products = len({product(name) for name in gallery})
    result = {"gallery": len(gallery), "queries": len(queries), "products": products}
    write_result(SIMILAR, {**result, "encoders": {**before, **figures}})


if __name__ == "__main__":
    main()
