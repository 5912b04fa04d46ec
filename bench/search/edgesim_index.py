"""edgesim: entries in SQLite, compared one by one or through the graph; answers have paths and labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import hnswlib  # noqa: F401  # edgesim imports it when it opens a graph
import numpy as np

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.index import Index
from search.library import Search
from search.vectors import K, Rows, Vectors

ALWAYS, NEVER = 10**9, 0
_COMMIT_ENTRIES = 10_000


def new_entry(number: int, vector: Vectors, labels: Mapping[str, str]) -> NewEntry:
    """Return an entry for a vector (D,); numbers begin at 0, and ids at 1."""
    return NewEntry(
        path=f"/photos/{number:07d}.jpg",
        sha256=f"{number:064x}",
        size=1,
        mtime_ns=1,
        labels=dict(labels),
        vector=vector,
    )


def add_all(index: Index, entries: Iterable[NewEntry]) -> None:
    """Add entries in commits of 10,000, and bring the graph up to them."""
    rest = iter(entries)
    while batch := list(itertools.islice(rest, _COMMIT_ENTRIES)):
        index.add(batch)
    index.refresh_graph()


class Exact:
    """Without a graph, however many entries there are."""

    exact_limit = ALWAYS

    def build(self, vectors: Vectors, folder: Path) -> None:
        bundle = Bundle.load(bundle_folder("copy"))
        with Index.create(folder, bundle, exact_limit=self.exact_limit) as index:
            add_all(index, (new_entry(row, vector, {}) for row, vector in enumerate(vectors)))

    def open(self, folder: Path) -> Search:
        index = Index.open(folder, read_only=True, exact_limit=self.exact_limit)

        def search(query: Vectors) -> Rows:
            return np.array([match.entry_id - 1 for match in index.search(query, K)])

        return search


class Hnsw(Exact):
    """With a graph, however few entries there are."""

    exact_limit = NEVER
