"""What decoding JPEG photos at a reduced scale changes: the embeddings, and which photo is found first.

    python bench/bench_reduced_decode.py SETS LIST [--photos 500]

SETS holds the image sets, LIST names the held-out ones (heldout_split.py). Photos of bsds500 are enlarged
to 2 and, the first 200, to 12 megapixels (camera_photos.py); the sample photos of scikit-image and
scikit-learn whose sides have at least four times the pixels of each encoder's are taken as they are. Each is
decoded at whole size, and at the smallest scale that leaves 4, 2 (what edgesim does) or 1 times the
encoder's side. For comparison the photo is saved once more as JPEG of quality 90 and decoded at whole size.

Then copies with two mild edits each (copy_detection/edits.py) are looked up among the 2-megapixel photos and
all other held-out images, both sides decoded in both ways. The result goes to
bench/results/reduced_decode.json, and by doc_tables.py into docs/image-decoding.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from camera_photos import enlarge, jpeg
from copy_detection.edits import apply_edits, draw_stack
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
# How a photo is decoded -> times the input's side, None for the whole size; and edgesim's way beside that.
WAYS: dict[str, int | None] = {WHOLE: None, AGAIN: None, **{str(factor): factor for factor in FACTORS}}
BOTH: dict[str, int | None] = {WHOLE: None, str(OURS): OURS}
EDITS_OF_A_COPY = 2
# Megapixels -> how many photos at most.
SIZES = {2.0: 500, 12.0: 200}
LOOKED_UP = 2.0

Vectors = NDArray[np.float32]
Pixels = NDArray[np.uint8]
# Encoder -> how it was decoded -> the encoder's input (N, size, size, 3).
Versions = dict[str, dict[str, Pixels]]


def decoded(content: bytes, factor: int | None, size: int) -> Pixels:
    """Return the encoder's input (size, size, 3), decoded at whole size or reduced."""
    return resize_image(decode_image(content, None if factor is None else factor * size), size)


def versions(
    contents: Iterable[bytes], embedders: dict[str, Embedder], ways: Mapping[str, int | None]
) -> Versions:
    """Return JPEG files as each encoder's input, by how they are decoded: `WAYS`, or some of them."""
    pixels: dict[str, dict[str, list[Pixels]]] = {name: {way: [] for way in ways} for name in embedders}
    for content in contents:
        files = dict.fromkeys(ways, content)
        if AGAIN in ways:
            files[AGAIN] = jpeg(decode_image(content))
        for name, embedder in embedders.items():
            size = embedder.bundle.spec.input_size
            for way, factor in ways.items():
                pixels[name][way].append(decoded(files[way], factor, size))
    return {name: {way: np.stack(images) for way, images in of.items()} for name, of in pixels.items()}


def changes(pixels: Versions, embedders: dict[str, Embedder]) -> list[dict[str, Any]]:
    """Return what each way of decoding changes against that at whole size, for each encoder."""
    whole = {name: embedder.embed_pixels(pixels[name][WHOLE]) for name, embedder in embedders.items()}
    rows = []
    for way in (*map(str, FACTORS), AGAIN):
        of: dict[str, dict[str, float]] = {}
        for name, embedder in embedders.items():
            levels = np.abs(pixels[name][way].astype(np.int16) - pixels[name][WHOLE].astype(np.int16))
            cosines = paired_cosine(embedder.embed_pixels(pixels[name][way]), whole[name])
            of[name] = {
                "photos_changed": int(levels.any(axis=(1, 2, 3)).sum()),
                "mean_levels": float(levels.mean()),
                "mean_cosine": float(cosines.mean()),
                "lowest_cosine": float(cosines.min()),
            }
        rows.append({"way": way, "encoders": of})
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


def large_samples(side: int) -> list[Image.Image]:
    """Return the sample photos whose shorter side is long enough."""
    pictures = map(decode_image, sample_photos("this benchmark"))
    return [picture for picture in pictures if min(picture.size) >= side]


def with_progress(contents: Iterable[bytes], count: int, title: str) -> Iterable[bytes]:
    return tqdm(contents, total=count, desc=title, disable=None)


def measure_changes(photos: Sequence[Path], embedders: dict[str, Embedder]) -> list[dict[str, Any]]:
    """Return what decoding at a reduced scale changes in the embeddings."""
    largest = max(embedder.bundle.spec.input_size for embedder in embedders.values())
    native = large_samples(FACTORS[0] * largest)
    ways = changes(versions(map(jpeg, native), embedders, WAYS), embedders)
    groups = [{"photos": "sample photos", "count": len(native), "ways": ways}]
    for megapixels, most in SIZES.items():
        title, count = f"held-out, {megapixels:g} megapixels", len(photos[:most])
        contents = with_progress(enlarged_files(photos[:most], megapixels), count, title)
        ways = changes(versions(contents, embedders, WAYS), embedders)
        groups.append({"photos": title, "count": count, "ways": ways})
    return groups


def measure_lookups(
    photos: Sequence[Path], others: Sequence[Path], embedders: dict[str, Embedder]
) -> dict[str, Any]:
    """Return whether edited copies find their photo."""
    contents = enlarged_files(photos, LOOKED_UP)
    references = versions(with_progress(contents, len(photos), "photos"), embedders, BOTH)
    copies = edited_copies(photos, LOOKED_UP)
    queries = versions(with_progress(copies, len(photos), "edited copies"), embedders, BOTH)
    reduced, found = {}, {}
    for name, embedder in embedders.items():
        size = embedder.bundle.spec.input_size
        background = np.stack([decoded(path.read_bytes(), None, size) for path in others])
        changed = (queries[name][WHOLE] != queries[name][str(OURS)]).any(axis=(1, 2, 3))
        reduced[name] = int(changed.sum())
        found[name] = lookups(references[name], queries[name], background, embedder)
    return {
        "references": len(photos),
        "others": len(others),
        "queries_reduced": reduced,
        "encoders": found,
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
    result = {
        "machine": describe_machine(),
        "changes": measure_changes(photos, embedders),
        "lookups": measure_lookups(photos, others, embedders),
    }
    print(write_result("reduced_decode", result))


if __name__ == "__main__":
    main()
