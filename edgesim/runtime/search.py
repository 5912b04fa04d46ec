"""The nearest vectors of an open index: exactly, or through its search graph; of all entries or of some."""

from __future__ import annotations

import dataclasses
import logging
import math

import numpy as np
from numpy.typing import NDArray

from edgesim.runtime.graph import Graph, Ids, Vectors, hnswlib_installed
from edgesim.runtime.graph_cache import GRAPH_FACTS_FILE, GraphCache
from edgesim.runtime.graph_settings import read_parameters
from edgesim.runtime.label_filter import LabelFilter
from edgesim.runtime.reader import Version
from edgesim.runtime.store import EntryStore
from edgesim.runtime.tally import Tally

# An exact search compares about so many entries in the time in which the graph finds one: measured with
# 100,000 of 128 numbers.
_ENTRIES_A_STEP = 64
# Of what the graph finds, a filter that has nothing to do with the picture leaves its share; some are taken
# to spare, and so many times more if they were not enough. Our choice.
_SPARE, _GROWTH = 1.5, 4

Answer = tuple[Ids, Vectors]

_log = logging.getLogger("edgesim")


@dataclasses.dataclass
class _Subset:
    """The entries that a filter selects, in one state of the index: ids (N,), rising, and vectors (N, D)."""

    where: LabelFilter
    tally: Tally
    ids: Ids
    vectors: Vectors | None = None


class Search:
    """Searches an index for as long as it is open; keeps what it has loaded until a commit changes it.

    Args:
        store: the entries.
        cache: the search graph.
        exact_limit: up to how many entries are compared one by one.
    """

    def __init__(self, store: EntryStore, cache: GraphCache, exact_limit: int) -> None:
        self._store, self._cache, self._exact_limit = store, cache, exact_limit
        self._version: Version | None = None
        self._graph: Graph | None = None
        self._vectors: Answer | None = None
        self._subset: _Subset | None = None
        self._warned = False

    def forget(self) -> None:
        """Load the graph anew with the next search."""
        self._version = None

    def nearest(self, vector: NDArray[np.float32], k: int, where: LabelFilter | None = None) -> Answer:
        """Return the ids (k,) and similarities (k,) of the entries nearest to `vector` (D,), best first.

        To be called in a snapshot of the store.
        """
        if where is not None:
            return self._nearest_of_subset(vector, k, where)
        self._load()
        found = self._graph.search(vector, k) if self._graph else None
        return found or self._nearest_of_all(vector, k)

    def _nearest_of_all(self, vector: NDArray[np.float32], k: int) -> Answer:
        if self._vectors is None:
            self._vectors = self._store.vectors()
        ids, vectors = self._vectors
        return _best(ids, vectors @ vector, k)

    def _nearest_of_subset(self, vector: NDArray[np.float32], k: int, where: LabelFilter) -> Answer:
        subset = self._select(where)
        if len(subset.ids) > self._exact_limit:
            self._load()
            if self._vectors is not None:
                ids, vectors = self._vectors
                return _best(subset.ids, (vectors @ vector)[np.searchsorted(ids, subset.ids)], k)
            found = self._nearest_by_graph(self._graph, vector, k, subset.ids) if self._graph else None
            if found is not None:
                return found
        if subset.vectors is None:
            subset.vectors = self._store.vectors_where(where)
        return _best(subset.ids, subset.vectors @ vector, k)

    def _select(self, where: LabelFilter) -> _Subset:
        tally = self._store.tally()
        subset = self._subset
        if tally is None or subset is None or (subset.where, subset.tally) != (where, tally):
            ids = np.array(self._store.ids_where(where), dtype=np.int64)
            subset = _Subset(where, tally or Tally(), ids)
            self._subset = None if tally is None else subset
        return subset

    def _nearest_by_graph(self, graph: Graph, vector: NDArray[np.float32], k: int, ids: Ids) -> Answer | None:
        """Take so many more from the graph that k are left; None if an exact search is cheaper."""
        least = graph.parameters.ef_search  # it looks at so many anyway
        fetch = max(math.ceil(_SPARE * k * self._store.count() / len(ids)), least)
        while fetch <= max(len(ids) // _ENTRIES_A_STEP, least):
            found = graph.search(vector, fetch)
            if found is None:
                return None
            places = np.minimum(np.searchsorted(ids, found[0]), len(ids) - 1)
            kept = np.flatnonzero(ids[places] == found[0])[:k]
            if len(kept) == k:
                return found[0][kept], found[1][kept]
            fetch *= _GROWTH
        return None

    def _load(self) -> None:
        """Load the graph or the vectors, unless the ones at hand are those of the last commit."""
        version = self._store.version()
        if version == self._version:
            return
        self._version, self._graph, self._vectors = None, None, None
        state: str = "missing"
        if (self._store.folder / GRAPH_FACTS_FILE).exists() and hnswlib_installed():
            state, self._graph = self._cache.load(version)
        if self._graph is not None:
            self._graph.parameters = read_parameters(self._store)
        else:
            self._vectors = self._store.vectors()
            if len(self._vectors[0]) > self._exact_limit:
                self._warn_of_exact_search(len(self._vectors[0]), state)
        self._version = version

    def _warn_of_exact_search(self, count: int, state: str) -> None:
        if self._warned:
            return
        self._warned = True
        folder = self._store.folder
        if hnswlib_installed():
            reason, cure = f"the search graph is {state}", f"edgesim index rebuild {folder}"
        else:
            reason, cure = "hnswlib is not installed", "pip install 'edgesim[hnsw]'"
        _log.warning(
            "%s: %s, so %d entries are searched exactly; for speed run: %s", folder, reason, count, cure
        )


def _best(ids: Ids, similarities: Vectors, k: int) -> Answer:
    """Return the k best of (N,), best first; among equal ones in the order of their ids."""
    rows = np.arange(len(ids))
    if k < len(ids):
        # All that reach the k-th best, so that the order decides among equals, and not the partition.
        rows = np.flatnonzero(similarities >= np.partition(similarities, -k)[-k])
    rows = rows[np.argsort(-similarities[rows], kind="stable")][:k]
    return ids[rows], similarities[rows]
