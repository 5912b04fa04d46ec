"""USearch, https://github.com/unum-cloud/usearch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from usearch.index import Index

from edgesim.runtime.graph import DEFAULTS
from search.library import Search
from search.vectors import DIM, K, Rows, Vectors

_FILE = "index.usearch"


class Hnsw:
    """Inner product of float32; like hnswlib it has twice the connectivity in the lowest layer."""

    def build(self, vectors: Vectors, folder: Path) -> None:
        index = Index(
            ndim=DIM,
            metric="ip",
            dtype="f32",
            connectivity=DEFAULTS.m,
            expansion_add=DEFAULTS.ef_construction,
            expansion_search=DEFAULTS.ef_search,
        )
        index.add(np.arange(len(vectors)), vectors, threads=1)
        index.save(str(folder / _FILE))

    def open(self, folder: Path) -> Search:
        index = Index.restore(str(folder / _FILE))
        index.expansion_search = DEFAULTS.ef_search

        def search(query: Vectors) -> Rows:
            return np.asarray(index.search(query, K, threads=1).keys, dtype=np.int64)

        return search
