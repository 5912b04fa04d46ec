"""What decoding JPEG photos at a reduced scale changes: the embeddings, and which photo is found first.

    python bench/bench_reduced_decode.py SETS LIST [--photos 500]

SETS holds the image sets, LIST names the held-out ones (heldout_split.py). Photos of bsds500 are enlarged
to 2 and, the first 200, to 12 megapixels (camera_photos.py); the sample photos of scikit-image and
scikit-learn whose sides have at least four times the pixels of the encoder's are taken as they are. Each is
decoded at whole size, and at the smallest scale that leaves 4, 2 (what edgesim does) or 1 times the
encoder's side. For comparison the photo is saved once more as JPEG of quality 90 and decoded at whole size.

Then copies with two mild edits each (copy_edits.py) are looked up among the 2-megapixel photos and all
other held-out images, both sides decoded in both ways. The result goes to
bench/results/reduced_decode.json, and by decode_tables.py into docs/image-decoding.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from camera_photos import enlarge, jpeg
from copy_edits import apply_edits, draw_stack
from harness import describe_machine, write_result
from heldout_split import of_set
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from edgesim.builtin import ENCODERS
from edgesim.metrics import paired_cosine
from edgesim.preprocess import decode_image, resize_image
from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.sample_photos import sample_photos

# How many times the input's side both sides of the decoded picture keep.
FACTORS = (4, 2, 1)
OURS = 2
WHOLE, AGAIN = "whole", "saved again"
EDITS_OF_A_COPY = 2
# Megapixels -> how many photos at most.
SIZES = {2.0: 500, 12.0: 200}
LOOKED_UP = 2.0

Vectors = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def decoded(content: bytes, factor: int | None, size: int) -> Pixels:
    """Return the encoder's input (size, size, 3), decoded at whole size or reduced."""
    return resize_image(decode_image(content, None if factor is None else factor * size), size)


def versions(contents: Iterable[bytes], size: int) -> dict[str, Pixels]:
    """Return the input pixels (N, size, size, 3) of JPEG files by how they are decoded."""
    pixels: dict[str, list[Pixels]] = {}
    for content in contents:
        again = jpeg(decode_image(content))
        pixels.setdefault(WHOLE, []).append(decoded(content, None, size))
        pixels.setdefault(AGAIN, []).append(decoded(again, None, size))
        for factor in FACTORS:
            pixels.setdefault(str(factor), []).append(decoded(content, factor, size))
    return {name: np.stack(images) for name, images in pixels.items()}


def changes(pixels: dict[str, Pixels], embedders: dict[str, Embedder]) -> list[dict[str, Any]]:
    """Return what each way of decoding changes against that at whole size."""
    whole = pixels[WHOLE].astype(np.int16)
    vectors = {name: embedder.embed_pixels(pixels[WHOLE]) for name, embedder in embedders.items()}
    rows = []
    for way in (*map(str, FACTORS), AGAIN):
        levels = np.abs(pixels[way].astype(np.int16) - whole)
        cosines = {
            name: paired_cosine(embedder.embed_pixels(pixels[way]), vectors[name])
            for name, embedder in embedders.items()
        }
        rows.append(
            {
                "way": way,
                "photos_changed": int(levels.any(axis=(1, 2, 3)).sum()),
                "mean_levels": float(levels.mean()),
                "cosine": {
                    name: {"mean": float(values.mean()), "lowest": float(values.min())}
                    for name, values in cosines.items()
                },
            }
        )
    return rows


def enlarged_files(paths: Iterable[Path], megapixels: float) -> Iterator[bytes]:
    """Yield a JPEG of each photo."""
    for path in paths:
        yield jpeg(enlarge(decode_image(path), megapixels))


def edited_copies(paths: Sequence[Path], megapixels: float) -> Iterator[bytes]:
    """Yield a JPEG of an edited copy of each photo."""
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        edits = draw_stack(EDITS_OF_A_COPY, rng)
        photo, other = enlarge(decode_image(path), megapixels), decode_image(paths[number - 1])
        yield jpeg(apply_edits(photo, edits, rng, other))


def first_places(queries: Vectors, references: Vectors, others: Vectors) -> NDArray[np.intp]:
    """Return the row of the most similar of references and others, for each query."""
    return np.asarray((queries @ np.concatenate([references, others]).T).argmax(axis=1))


def lookups(
    references: dict[str, Pixels], queries: dict[str, Pixels], others: Pixels, embedder: Embedder
) -> list[dict[str, Any]]:
    """Return recall@1 by how the index's photos and the queries are decoded."""
    background = embedder.embed_pixels(others)
    sides = [{way: embedder.embed_pixels(side[way]) for way in side} for side in (references, queries)]
    found = {
        (index, query): first_places(sides[1][query], sides[0][index], background)
        for index in references
        for query in queries
    }
    right = np.arange(len(sides[1][WHOLE]))
    return [
        {
            "index": index,
            "query": query,
            "recall_at_1": float((places == right).mean()),
            "other_answer": int((places != found[WHOLE, WHOLE]).sum()),
        }
        for (index, query), places in found.items()
    ]


def both_ways(contents: Iterable[bytes], size: int) -> dict[str, Pixels]:
    """Return input pixels (N, size, size, 3), decoded at whole size and as edgesim does."""
    pairs = [(decoded(content, None, size), decoded(content, OURS, size)) for content in contents]
    whole, reduced = zip(*pairs, strict=True)
    return {WHOLE: np.stack(whole), str(OURS): np.stack(reduced)}


def large_samples(side: int) -> list[Image.Image]:
    """Return the sample photos whose shorter side is long enough."""
    pictures = map(decode_image, sample_photos("this benchmark"))
    return [picture for picture in pictures if min(picture.size) >= side]


def with_progress(contents: Iterable[bytes], count: int, title: str) -> Iterable[bytes]:
    return tqdm(contents, total=count, desc=title, disable=None)


def measure_changes(
    photos: Sequence[Path], size: int, embedders: dict[str, Embedder]
) -> list[dict[str, Any]]:
    """Return what decoding at a reduced scale changes in the embeddings."""
    native = large_samples(FACTORS[0] * size)
    pixels = {"sample photos": versions(map(jpeg, native), size)}
    for megapixels, most in SIZES.items():
        title = f"held-out, {megapixels:g} megapixels"
        contents = enlarged_files(photos[:most], megapixels)
        pixels[title] = versions(with_progress(contents, len(photos[:most]), title), size)
    return [
        {"photos": title, "count": len(of[WHOLE]), "ways": changes(of, embedders)}
        for title, of in pixels.items()
    ]


def measure_lookups(
    photos: Sequence[Path], others: Sequence[Path], size: int, embedders: dict[str, Embedder]
) -> dict[str, Any]:
    """Return whether edited copies find their photo."""
    contents = enlarged_files(photos, LOOKED_UP)
    references = both_ways(with_progress(contents, len(photos), "photos"), size)
    copies = edited_copies(photos, LOOKED_UP)
    queries = both_ways(with_progress(copies, len(photos), "edited copies"), size)
    background = np.stack([decoded(path.read_bytes(), None, size) for path in others])
    reduced = (queries[WHOLE] != queries[str(OURS)]).any(axis=(1, 2, 3))
    return {
        "references": len(photos),
        "others": len(others),
        "queries_reduced": int(reduced.sum()),
        "encoders": {
            name: lookups(references, queries, background, embedder) for name, embedder in embedders.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path)
    parser.add_argument("list", type=Path)
    parser.add_argument("--photos", type=int, default=500, help="how many photos of bsds500")
    args = parser.parse_args()
    names = args.list.read_text().split("\n")[:-1]
    photos = [args.sets / name for name in of_set(names, "bsds500")][: args.photos]
    others = [args.sets / name for name in names if not name.startswith("bsds500/")]
    embedders = {name: Embedder(open_bundle(name)) for name in ENCODERS}
    (size,) = {embedder.bundle.spec.input_size for embedder in embedders.values()}
    result = {
        "machine": describe_machine(),
        "changes": measure_changes(photos, size, embedders),
        "lookups": measure_lookups(photos, others, size, embedders),
    }
    print(write_result("reduced_decode", result))


if __name__ == "__main__":
    main()
