"""Recall@1 of edited copies among their originals and distractors, through the int8 bundle.

    python bench/bench_copy_recall.py SETS [--bundle builtin] [--engine onnxruntime]

SETS holds one folder an image set; bench/heldout_split.py says which images are references (bsds500) and
which distractors. None of them was trained on. Every reference gets one copy by each edit of edgesim.edits,
seeded by its number; a copy counts when its original is the most similar of references and distractors. The
result goes to bench/results/copy_recall.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from harness import describe_machine, markdown_table, write_result
from heldout_split import heldout
from numpy.typing import NDArray
from tqdm import tqdm

from edgesim.edits import EDITS, edited_copy
from edgesim.metrics import recall_at_k
from edgesim.preprocess import decode_image, load_pixels, resize_image
from edgesim.runtime.embedder import Embedder, open_bundle


def embed_files(embedder: Embedder, paths: list[Path]) -> NDArray[np.float32]:
    size = embedder.bundle.spec.input_size
    images = [load_pixels(path, size) for path in tqdm(paths, "references", disable=None)]
    return embedder.embed_pixels(np.stack(images))


def copies(paths: list[Path], edit: str, size: int) -> NDArray[np.uint8]:
    """Return one edited copy of each picture; the next picture is the background of a paste."""
    pictures = [decode_image(path) for path in paths]
    pairs = zip(pictures, [*pictures[1:], pictures[0]], strict=True)
    return np.stack(
        [resize_image(edited_copy(image, edit, i, other), size) for i, (image, other) in enumerate(pairs)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--bundle", default="builtin")
    parser.add_argument("--engine")
    args = parser.parse_args()
    embedder = Embedder(open_bundle(args.bundle), engine=args.engine)
    references, distractors, _ = heldout(args.sets)
    originals = [args.sets / name for name in references]
    gallery = embed_files(embedder, originals + [args.sets / name for name in distractors])
    truth = np.arange(len(originals))
    recall = {}
    for edit in tqdm(EDITS, "edits", disable=None):
        queries = embedder.embed_pixels(copies(originals, edit, embedder.bundle.spec.input_size))
        recall[edit] = recall_at_k(queries, gallery, truth)
    mean = sum(recall.values()) / len(recall)
    result = {
        "machine": describe_machine(),
        "bundle": embedder.bundle.title,
        "engine": f"{embedder.engine} {embedder.engine_version}",
        "references": len(originals),
        "distractors": len(distractors),
        "queries": len(originals) * len(EDITS),
        "recall_at_1": {edit: round(value, 4) for edit, value in recall.items()},
        "recall_at_1_mean": round(mean, 4),
    }
    write_result("copy_recall", result)
    print(
        f"{result['bundle']}, {result['engine']}: {result['queries']} copies of {len(originals)} pictures\n"
    )
    print(markdown_table([*recall, "mean"], [[f"{value:.3f}" for value in [*recall.values(), mean]]]))


if __name__ == "__main__":
    main()
