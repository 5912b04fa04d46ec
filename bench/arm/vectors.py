"""Indexes of many entries, made on this machine without embedding that many photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.bundle import Bundle
from edgesim.metrics import l2_normalise
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.index import Index

_BATCH = 10_000
_PATH = "/srv/photos/{:06}.jpg"
FIRST_PATH = _PATH.format(0)


def write_index(folder: Path, bundle: Bundle, count: int, first: NDArray[np.float32] | None = None) -> Path:
    """Make an index of `count` random unit vectors (seeded), with a path and a label each; returns `folder`.

    With `first`, (D,) of length 1, that is the vector of the first one, `FIRST_PATH`.

    What a search costs in memory and time depends on number and length of the vectors. Above the limit of the
    exact search there is a graph too.
    """
    rng = np.random.default_rng(0)
    with Index.create(folder, bundle) as index:
        for start in range(0, count, _BATCH):
            shape = (min(_BATCH, count - start), bundle.spec.embedding_dim)
            vectors = l2_normalise(rng.standard_normal(shape, np.float32))
            if start == 0 and first is not None:
                vectors[0] = first
            index.add(
                [
                    NewEntry(
                        path=_PATH.format(number),
                        sha256=f"{number:064x}",
                        size=100_000,
                        mtime_ns=number,
                        labels={"line": str(number % 8)},
                        vector=vector,
                    )
                    for number, vector in enumerate(vectors, start)
                ]
            )
        index.refresh_graph()
    return folder
