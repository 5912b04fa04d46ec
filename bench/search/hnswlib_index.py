"""hnswlib itself, https://github.com/nmslib/hnswlib, which edgesim's graph is made with."""

from __future__ import annotations

from pathlib import Path

import hnswlib
import numpy as np

from edgesim.runtime.graph import DEFAULTS
from search.library import Search
from search.vectors import DIM, K, Rows, Vectors

_FILE = "graph.hnsw"


def load(path: Path) -> hnswlib.Index:
    """Return the graph in a file, set to search with one thread and our ef_search."""
    graph = hnswlib.Index("ip", DIM)
    graph.load_index(str(path))
    graph.set_num_threads(1)
    graph.set_ef(DEFAULTS.ef_search)
    return graph


class Hnsw:
    """Inner product of float32."""

    def build(self, vectors: Vectors, folder: Path) -> None:
        graph = hnswlib.Index("ip", DIM)
        graph.init_index(len(vectors), M=DEFAULTS.m, ef_construction=DEFAULTS.ef_construction)
        graph.add_items(vectors, num_threads=1)
        graph.save_index(str(folder / _FILE))

    def open(self, folder: Path) -> Search:
        graph = load(folder / _FILE)

        def search(query: Vectors) -> Rows:
            return np.asarray(graph.knn_query(query, K, num_threads=1)[0][0], dtype=np.int64)

        return search
