"""Faiss, https://github.com/facebookresearch/faiss: flat, HNSW and flat with 8 bits a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from edgesim.runtime.graph import DEFAULTS
from search.library import Search
from search.vectors import DIM, K, Rows, Vectors

_FILE = "index.faiss"


class Flat:
    """Inner product of float32, with every vector."""

    def build(self, vectors: Vectors, folder: Path) -> None:
        faiss.omp_set_num_threads(1)
        index = self._empty()
        index.train(vectors)
        index.add(vectors)
        faiss.write_index(index, str(folder / _FILE))

    def _empty(self) -> Any:
        return faiss.IndexFlatIP(DIM)

    def open(self, folder: Path) -> Search:
        faiss.omp_set_num_threads(1)
        index = faiss.read_index(str(folder / _FILE))

        def search(query: Vectors) -> Rows:
            return np.asarray(index.search(query[None], K)[1][0], dtype=np.int64)

        return search


class Sq8(Flat):
    """The same with a byte for each number, whose range is learnt for each of the D."""

    def _empty(self) -> Any:
        return faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)


class Hnsw(Flat):
    """Inner product of float32; ef_search is written into the file."""

    def _empty(self) -> Any:
        index = faiss.IndexHNSWFlat(DIM, DEFAULTS.m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = DEFAULTS.ef_construction
        index.hnsw.efSearch = DEFAULTS.ef_search
        return index
