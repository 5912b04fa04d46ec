"""What a query with a camera's photo costs, beside what Pillow alone takes to decode that photo.

    python bench/bench_decode.py [--photos FOLDER] [--count 8] [--rounds 15] [--engine onnxruntime]

Photos of FOLDER, by default those that scikit-image and scikit-learn bring, are enlarged to 0.3, 2 and 12
megapixels (camera_photos.py). Each round does everything in turn with every photo; files in the page cache,
one thread, an index of 10,000 entries. Then whole processes. The result goes to bench/results/decode.json,
and by doc_tables.py into docs/image-decoding.md.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_cli import edgesim_command
from camera_photos import enlarge, jpeg
from harness import (
    describe_machine,
    median_ratio,
    median_seconds,
    ratio_in_turn,
    run_interleaved,
    time_in_turn,
    write_result,
)
from PIL import Image
from search.edgesim_index import add_all, new_entry

from edgesim.files import find_images
from edgesim.metrics import l2_normalise
from edgesim.preprocess import decode_image, load_pixels, resize_image
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.index import Index
from edgesim.runtime.matcher import Matcher
from edgesim.sample_photos import sample_photos

MEGAPIXELS = (0.3, 2.0, 12.0)
ENTRIES = 10_000
WARM_UP = 2
PILLOW = "Pillow, whole size"
PROCESS_RUNS = 15

Task = Callable[[Path], object]


def write_photos(sources: Sequence[Path], folder: Path, megapixels: float) -> list[Path]:
    """Write the photos as JPEG files of so many megapixels."""
    written = []
    for number, source in enumerate(sources):
        path = folder / f"{megapixels:g}_{number}.jpg"
        path.write_bytes(jpeg(enlarge(decode_image(source), megapixels)))
        written.append(path)
    return written


def make_index(folder: Path) -> None:
    """Make an index of random vectors for the built-in encoder `copy`."""
    bundle = open_bundle("copy")
    shape = (ENTRIES, bundle.spec.embedding_dim)
    vectors = l2_normalise(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    with Index.create(folder, bundle) as index:
        add_all(index, (new_entry(number, vector, {}) for number, vector in enumerate(vectors)))


def tasks(matcher: Matcher) -> dict[str, Task]:
    """Return what is timed, from the path of a JPEG file on."""
    size = matcher.embedder.bundle.spec.input_size

    def pillow_reduced(path: Path) -> None:
        with Image.open(path) as image:
            image.draft(None, (2 * size, 2 * size))
            image.load()

    return {
        PILLOW: _pillow_whole,
        "Pillow, reduced scale": pillow_reduced,
        "edgesim, at whole size and resized": lambda path: resize_image(decode_image(path), size),
        "edgesim, at reduced scale and resized": lambda path: load_pixels(path, size),
        "embedding": matcher.embedder.embed_image,
        "query": matcher.query,
    }


def _pillow_whole(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def measure(photos: Sequence[Path], timed: dict[str, Task], rounds: int) -> dict[str, Any]:
    """Return, of each task, the median in milliseconds and that of the ratios to Pillow's whole decode."""
    functions = {
        (name, photo): functools.partial(task, photo) for photo in photos for name, task in timed.items()
    }
    seconds = time_in_turn(functions, rounds, WARM_UP)
    taken = {name: [passed for photo in photos for passed in seconds[name, photo]] for name in timed}
    return {
        name: {"ms": 1000 * statistics.median(values), "ratio": ratio_in_turn(values, taken[PILLOW])}
        for name, values in taken.items()
    }


def measure_processes(photo: Path, index: Path, engine: str) -> dict[str, Any]:
    """Return the same of whole processes."""
    python = [sys.executable, "-c"]
    pillow = f"from PIL import Image; Image.open({str(photo)!r}).load()"
    query = [*edgesim_command(), "query", str(index), str(photo), "--engine", engine]
    commands = {
        PILLOW: [*python, pillow],
        "imports only: PIL.Image": [*python, "from PIL import Image, JpegImagePlugin"],
        f"imports only: NumPy, PIL.Image, {engine}": [*python, f"import numpy, PIL.Image, {engine}"],
        "edgesim query": query,
    }
    runs = run_interleaved(commands, PROCESS_RUNS)
    return {
        name: {"ms": 1000 * median_seconds(found), "ratio": median_ratio(found, runs[PILLOW])}
        for name, found in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="folder of photos")
    parser.add_argument("--count", type=int, default=8, help="how many of them")
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds")
    parser.add_argument("--engine", default="onnxruntime", help="inference engine")
    args = parser.parse_args()
    found = find_images([args.photos]) if args.photos else sample_photos("this benchmark")
    sources = found[:: max(1, len(found) // args.count)][: args.count]
    rows = []
    with tempfile.TemporaryDirectory() as work:
        index = Path(work) / "index"
        make_index(index)
        with Matcher(index, engine=args.engine, read_only=True) as matcher:
            for megapixels in MEGAPIXELS:
                photos = write_photos(sources, Path(work), megapixels)
                size = statistics.mean(photo.stat().st_size for photo in photos)
                row = {"megapixels": megapixels, "mean_bytes": round(size)}
                rows.append({**row, "tasks": measure(photos, tasks(matcher), args.rounds)})
        processes = measure_processes(photos[0], index, args.engine)
    result = {
        "machine": describe_machine(),
        "engine": args.engine,
        "photos": len(sources),
        "rounds": args.rounds,
        "entries": ENTRIES,
        "rows": rows,
        "process_runs": PROCESS_RUNS,
        "processes": processes,
    }
    print(write_result("decode", result))


if __name__ == "__main__":
    main()
