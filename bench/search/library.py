"""What each library has to be able to do here, and where to find it by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from search.vectors import Rows, Vectors

# From a query (D,) to the rows (k,) of the vectors that were found.
Search = Callable[[Vectors], Rows]


class Library(Protocol):
    """One way of one library, with one thread; HNSW with the parameters of `edgesim.runtime.graph`."""

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Make an index of vectors (N, D) and write it into an empty folder."""

    def open(self, folder: Path) -> Search:
        """Open what `build` wrote."""


# Name -> its module in this package, and the class.
LIBRARIES = {
    "edgesim exact": ("edgesim_index", "Exact"),
    "edgesim HNSW": ("edgesim_index", "Hnsw"),
    "hnswlib": ("hnswlib_index", "Hnsw"),
    "usearch": ("usearch_index", "Hnsw"),
    "faiss flat": ("faiss_index", "Flat"),
    "faiss HNSW": ("faiss_index", "Hnsw"),
    "faiss SQ8": ("faiss_index", "Sq8"),
    "sqlite-vec": ("sqlite_vec_index", "Flat"),
}


def load_library(name: str) -> Library:
    """Import a library and return it; all its imports are made here, and not when it opens an index."""
    module, kind = LIBRARIES[name]
    library: Library = getattr(importlib.import_module(f"search.{module}"), kind)()
    return library
