"""A search graph and the entries that came and went since it was written: together the last commit.

The graph of a large index is a file of tens of megabytes. Were it written anew after each photo, SD cards
would wear out, so it may lie behind: entries that are newer than the graph are compared one by one, and those
that are gone are left out of what it finds.
"""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from edgesim.runtime.digests import vector_bytes, vector_digest
from edgesim.runtime.graph import Graph, Ids, Vectors, best_of
from edgesim.runtime.graph_cache import GraphCache, State
from edgesim.runtime.reader import EntryReader
from edgesim.runtime.versions import Version

# With a larger share of removed entries a graph is searched at less than half its speed. A writer lets it
# not come that far: see `LAG_SHARE` and `MAX_REMOVED_SHARE`. Our choice.
_MAX_REMOVED_SHARE = 0.5


class LiveGraph:
    """A graph in memory that follows the commits.

    Args:
        graph: as its file holds it.
        version: of the entries when it was written.
        dim: D of the vectors.

    Attributes:
        graph: without what has been removed.
        ids: (N,) of the entries that are newer than the graph, rising.
    """

    def __init__(self, graph: Graph, version: Version, dim: int) -> None:
        self.graph, self._version = graph, version
        self.ids: Ids = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, dim), np.float32)
        self._removed: set[int] = set()

    def catch_up(self, store: EntryReader) -> bool:
        """Take in what has been committed since; to be called in a snapshot of the store.

        Returns:
            False if that cannot be done, and this graph is of no more use: it is not one of an earlier state
            of these entries, or too many of its entries are removed.
        """
        now, known = store.version(), self._version
        if now == known:
            return True
        if now.vectors is None or known.vectors is None:
            return False
        ids, vectors, total = store.vectors_since(known.next_id)
        if known.entries + len(ids) != now.entries:
            total -= self._leave_out_removed(store)
        too_many = len(self._removed) > _MAX_REMOVED_SHARE * self.graph.count()
        if too_many or known.vectors + total != now.vectors:
            return False
        self.ids, self._vectors = np.concatenate([self.ids, ids]), np.concatenate([self._vectors, vectors])
        self._version = now
        return True

    def _leave_out_removed(self, store: EntryReader) -> int:
        """Leave out the entries that are gone; return the sum of the checksums of their vectors.

        These are computed from what is held here, so that the sums agree for a graph of these entries only.
        """
        live = np.array(store.ids(), dtype=np.int64)
        kept = np.isin(self.ids, live)
        total = _sum_of(self.ids[~kept], self._vectors[~kept])
        self.ids, self._vectors = self.ids[kept], self._vectors[kept]
        gone = set(self.graph.ids().difference(live.tolist())) - self._removed
        for entry_id in gone:
            with contextlib.suppress(RuntimeError):  # removed before the graph was written
                total += _sum_of([entry_id], self.graph.vectors(np.array([entry_id])))
        self.graph.mark_removed(gone)
        self._removed |= gone
        return total

    def search(self, vector: NDArray[np.float32], k: int) -> tuple[Ids, Vectors] | None:
        """Return ids (k,) and similarities (k,) of about the k entries most similar, see `Graph.search`."""
        found = self.graph.search(vector, k)
        return None if found is None else self.with_newer(*found, vector, k)

    def with_newer(
        self, ids: Ids, similarities: Vectors, vector: NDArray[np.float32], k: int, among: Ids | None = None
    ) -> tuple[Ids, Vectors]:
        """Return the best k of the graph's answer and of the newer entries, of those `among` these ids."""
        if len(self.ids) == 0:
            return ids, similarities
        rows = np.arange(len(self.ids)) if among is None else np.flatnonzero(np.isin(self.ids, among))
        newer = self._vectors[rows] @ vector
        return best_of(np.concatenate([ids, self.ids[rows]]), np.concatenate([similarities, newer]), k)


def load_live_graph(cache: GraphCache, store: EntryReader, limit: int) -> tuple[State, LiveGraph | None]:
    """Return the state of the graph files and, if it is `fresh` or `behind`, the graph of the last commit.

    To be called in a snapshot of the store. With more than `limit` newer entries the files count for stale.
    Raises `MissingDependencyError` if hnswlib is needed and not installed.
    """
    now, dim = store.version(), store.facts.spec.embedding_dim
    state, graph = cache.load(now)
    if graph is not None:
        return state, LiveGraph(graph, now, dim)
    if state != "stale" or (lag := cache.lag(store)) is None or lag.newer > limit:
        return state, None
    if lag.removed > _MAX_REMOVED_SHARE * lag.written.entries:
        return state, None
    state, graph = cache.load(lag.written)
    if state == "stale":  # a writer has replaced the files between our two looks at them
        return load_live_graph(cache, store, limit)
    if graph is None:
        return state, None
    live = LiveGraph(graph, lag.written, dim)
    return ("behind", live) if live.catch_up(store) else ("stale", None)


def _sum_of(ids: Ids | list[int], vectors: Vectors) -> int:
    pairs = zip(ids, vectors, strict=True)
    return sum(vector_digest(int(entry_id), vector_bytes(vector)) for entry_id, vector in pairs)
