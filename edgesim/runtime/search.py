"""The nearest vectors of an open index: exactly, or through its search graph; of all entries or of some."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgesim.runtime.graph import GRAPH_FACTS_FILE, Ids, Vectors, best_of, hnswlib_installed
from edgesim.runtime.store import EntryStore
from edgesim.runtime.tally import Tally
from edgesim.runtime.versions import Commit, Version

# Imported where they are used: few queries have a filter, and only a large index has a graph.
if TYPE_CHECKING:
    from edgesim.runtime.label_filter import LabelFilter
    from edgesim.runtime.live_graph import LiveGraph

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
        exact_limit: up to how many entries are compared one by one.
    """

    def __init__(self, store: EntryStore, exact_limit: int) -> None:
        self._store, self._exact_limit = store, exact_limit
        self._commit: Commit | None = None
        self._version: Version | None = None
        self._graph: LiveGraph | None = None
        self._vectors: Answer | None = None
        self._subset: _Subset | None = None
        self._warned = False

    def forget(self) -> None:
        """Load the graph anew with the next search."""
        self._commit = self._version = self._graph = None

    def nearest(self, vector: NDArray[np.float32], k: int, where: LabelFilter | None = None) -> Answer:
        """Return the ids (k,) and similarities (k,) of the entries nearest to `vector` (D,), best first.

        With a filter to be called in a snapshot of the store.
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
        return best_of(ids, vectors @ vector, k)

    def _nearest_of_subset(self, vector: NDArray[np.float32], k: int, where: LabelFilter) -> Answer:
        subset = self._select(where)
        if len(subset.ids) > self._exact_limit:
            self._load()
            if self._vectors is not None:
                ids, vectors = self._vectors
                return best_of(subset.ids, (vectors @ vector)[np.searchsorted(ids, subset.ids)], k)
            found = self._nearest_by_graph(self._graph, vector, k, subset.ids) if self._graph else None
            if found is not None:
                return found
        if subset.vectors is None:
            subset.vectors = self._store.vectors_where(where)
        return best_of(subset.ids, subset.vectors @ vector, k)

    def _select(self, where: LabelFilter) -> _Subset:
        tally = self._store.tally()
        subset = self._subset
        if tally is None or subset is None or (subset.where, subset.tally) != (where, tally):
            ids = np.array(self._store.ids_where(where), dtype=np.int64)
            subset = _Subset(where, tally or Tally(), ids)
            self._subset = None if tally is None else subset
        return subset

    def _nearest_by_graph(
        self, live: LiveGraph, vector: NDArray[np.float32], k: int, ids: Ids
    ) -> Answer | None:
        """Take so many more from the graph that k are left; None if an exact search is cheaper."""
        graph = live.graph
        least = graph.parameters.ef_search  # it looks at so many anyway
        fetch = max(math.ceil(_SPARE * k * self._store.count() / len(ids)), least)
        while fetch <= max(len(ids) // _ENTRIES_A_STEP, least):
            found = graph.search(vector, fetch)
            if found is None:
                return None
            places = np.minimum(np.searchsorted(ids, found[0]), len(ids) - 1)
            kept = np.flatnonzero(ids[places] == found[0])[:k]
            if len(kept) == k:
                return live.with_newer(found[0][kept], found[1][kept], vector, k, among=ids)
            fetch *= _GROWTH
        return None

    def _load(self) -> None:
        """Load the graph or the vectors, unless the ones at hand are those of the last commit."""
        if self._commit is not None and self._store.commit() == self._commit:
            return
        self._commit = None
        with self._store.snapshot():
            commit, version = self._store.commit(), self._store.version()
            if version != self._version:
                self._load_version(version)
        self._commit = commit

    def _load_version(self, version: Version) -> None:
        self._version, self._vectors = None, None
        live, self._graph = self._graph, None  # of no more use if this fails
        if live is not None and live.catch_up(self._store) and len(live.ids) <= self._exact_limit:
            self._graph = live
        else:
            self._load_anew()
        self._version = version

    def _load_anew(self) -> None:
        state: str = "missing"
        if (self._store.folder / GRAPH_FACTS_FILE).exists() and hnswlib_installed():
            from edgesim.runtime.graph_cache import GraphCache
            from edgesim.runtime.graph_settings import read_parameters
            from edgesim.runtime.live_graph import load_live_graph

            cache = GraphCache(self._store.folder, self._store.facts)
            state, self._graph = load_live_graph(cache, self._store, self._exact_limit)
            if self._graph is not None:
                self._graph.graph.parameters = read_parameters(self._store)
        if self._graph is None:
            self._vectors = self._store.vectors()
            if len(self._vectors[0]) > self._exact_limit:
                self._warn_of_exact_search(len(self._vectors[0]), state)

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
