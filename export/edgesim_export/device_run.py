"""One run of the device's own code in a fresh process: its peak memory, and the time of a query.

    python -m edgesim_export.device_run index BUNDLE INDEX ENTRIES
    python -m edgesim_export.device_run query BUNDLE INDEX PHOTO ENGINE REPEATS

The first makes an index of random unit vectors, the second answers queries in it and prints its findings as
JSON. Imports nothing but the runtime, so that what is measured is what a device runs.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.bundle import Bundle
from edgesim.metrics import l2_normalise
from edgesim.runtime import graph
from edgesim.runtime.bench.resident import peak_mib
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.index import Index

# As long as the paths on a device are.
_PATH = "/home/pi/photos/{:016d}.jpg"
_COMMIT = 10_000
# Built with so little care a graph finds little, but it has as many bytes, and takes a tenth of the time.
_HASTY_EF_CONSTRUCTION = 4
_K = 5


def build_index(bundle: Bundle, folder: Path, entries: int) -> None:
    """Make an index of `entries` random unit vectors, with the search graph that one of that size has."""
    graph.DEFAULTS = graph.HnswParameters(ef_construction=_HASTY_EF_CONSTRUCTION)
    rng = np.random.default_rng(0)
    with Index.create(folder, bundle) as index:
        for start in range(0, entries, _COMMIT):
            shape = (min(_COMMIT, entries - start), bundle.spec.embedding_dim)
            vectors = l2_normalise(rng.standard_normal(shape, dtype=np.float32))
            index.add([_entry(start + row, vector) for row, vector in enumerate(vectors)])
        index.refresh_graph()


def _entry(number: int, vector: NDArray[np.float32]) -> NewEntry:
    path, digest = _PATH.format(number), f"{number:064x}"
    return NewEntry(path=path, sha256=digest, size=1, mtime_ns=0, labels={}, vector=vector)


def answer(bundle: Bundle, folder: Path, photo: bytes, engine: str, repeats: int) -> dict[str, object]:
    """Answer one query, and then `repeats` more.

    Returns:
        `peak_mib`, of this process up to the first answer; `search`, `exact` or `hnsw`; `engine_version`;
        `median_ms`, from the photo's bytes to its matches, over the repeats, None without any.
    """
    with Index.open(folder, bundle, read_only=True) as index:
        embedder = Embedder(bundle, engine)
        index.search(embedder.embed_image(photo, "photo"), _K)
        peak = peak_mib()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            index.search(embedder.embed_image(photo, "photo"), _K)
            seconds.append(time.perf_counter() - start)
        return {
            "peak_mib": peak,
            "search": index.stats()["search"],
            "engine_version": embedder.engine_version,
            "median_ms": statistics.median(seconds) * 1000 if seconds else None,
        }


def main(arguments: list[str]) -> None:
    """Do what the first argument says."""
    action, bundle, index = arguments[0], Bundle.load(Path(arguments[1])), Path(arguments[2])
    if action == "index":
        build_index(bundle, index, int(arguments[3]))
    else:
        photo, engine, repeats = Path(arguments[3]), arguments[4], int(arguments[5])
        print(json.dumps(answer(bundle, index, photo.read_bytes(), engine, repeats)))


if __name__ == "__main__":
    main(sys.argv[1:])
