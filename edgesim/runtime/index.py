"""A folder that holds the vectors, paths and labels of images, and finds the nearest of them.

entries.sqlite3            the source of truth (edgesim.runtime.store)
graph.hnsw, graph.json     a cache that makes large indexes fast (edgesim.runtime.graph_cache)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgesim.bundle import Bundle
from edgesim.errors import EncoderMismatchError, StorageError, UsageError
from edgesim.runtime.entry import Entry, NewEntry, check_labels
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.graph import hnswlib_installed
from edgesim.runtime.match import Match
from edgesim.runtime.search import Search
from edgesim.runtime.store import EntryStore

# Imported where they are used: most queries need none of them.
if TYPE_CHECKING:
    from edgesim.runtime.graph_cache import GraphCache
    from edgesim.runtime.graph_settings import GraphSettings
    from edgesim.runtime.keys import KeyModel
    from edgesim.runtime.label_filter import LabelFilter
    from edgesim.runtime.selection import LabelChange

# Up to here a search compares with every entry, which takes as long as HNSW does (bench/bench_search.py) and
# needs no graph. Our choice.
EXACT_LIMIT = 10_000

# So large a share of the entries, and at most so many as are searched exactly, may come and go before the
# graph is written anew. With 128 numbers that makes 8 kB for each, as much as its commit. Our choice.
LAG_SHARE = 0.1

# Above this share of removed entries in it, compacting builds the graph anew, too. Our choice.
COMPACTED_SHARE = 0.05

_log = logging.getLogger("edgesim")


class Index:
    """An open index; for use in one thread. Make it with `create` or `open`, and close it.

    Many programs may read an index while one writes to it; every search sees the last commit. All methods
    raise `IndexStoreError` when the index is damaged or held by another program, and `StorageError` when the
    disk is full, read-only or failing.

    Attributes:
        folder: where it lies.
        facts: what it remembers about the encoder that made it.
    """

    def __init__(self, store: EntryStore, exact_limit: int) -> None:
        self.folder, self.facts = store.folder, store.facts
        self._store, self._exact_limit = store, exact_limit
        self._search = Search(store, exact_limit)

    @property
    def _cache(self) -> GraphCache:
        from edgesim.runtime.graph_cache import GraphCache

        return GraphCache(self.folder, self.facts)

    @classmethod
    def create(
        cls,
        folder: Path,
        bundle: Bundle,
        keys: KeyModel | None = None,
        *,
        exact_limit: int = EXACT_LIMIT,
    ) -> Index:
        """Make an empty index for the encoder of `bundle`. Raises `IndexStoreError` if one is there.

        With `keys` its vectors will come from that key model, and only those searched for from the encoder.
        """
        return cls(EntryStore.create(folder, IndexFacts.of(bundle, keys)), exact_limit)

    @classmethod
    def open(
        cls,
        folder: Path,
        bundle: Bundle | None = None,
        read_only: bool = False,
        *,
        exact_limit: int = EXACT_LIMIT,
    ) -> Index:
        """Open an index.

        Args:
            folder: where it lies.
            bundle: the encoder that vectors to be added or searched will come from, if there will be any.
            read_only: write nothing; works on a read-only folder.
            exact_limit: up to how many entries a search is exact.

        Raises:
            EncoderMismatchError: the index was made by another encoder than the bundle's.
            IndexStoreError: no index there, damaged, or of another format version.
        """
        index = cls(EntryStore.open(folder, read_only=read_only), exact_limit)
        if bundle is not None:
            try:
                index.facts.check_encoder(folder, bundle)
            except EncoderMismatchError:
                index.close()
                raise
        return index

    def close(self) -> None:
        """Close the files; the index cannot be used afterwards."""
        self._store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self._store.count()

    def entries(self, where: str | LabelFilter | None = None) -> list[Entry]:
        """Return all entries, or those that a filter selects, in the order of their addition."""
        selecting = _filter(where)
        return self._store.entries() if selecting is None else self._store.entries_where(selecting)

    def find(self, path: str) -> Entry | None:
        """Return the entry of an absolute path, or None."""
        return self._store.find(path)

    def vectors(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the ids of all entries (N,), rising, and their L2-normalised vectors (N, D)."""
        return self._store.vectors()

    def setting(self, name: str) -> Any | None:
        """Return a JSON value that the index keeps, None if there is none of this name."""
        return self._store.setting(name)

    def set_setting(self, name: str, value: Any | None) -> None:
        """Let the index keep a small JSON value; None removes it."""
        self._store.set_setting(name, value)

    def add(self, entries: Sequence[NewEntry]) -> None:
        """Add entries, and replace those of the same path, in one commit: all of them or none.

        Call `refresh_graph` after the last one.
        """
        self._store.write(entries)

    def remove(
        self,
        paths: Iterable[str | Path] = (),
        *,
        ids: Iterable[int] = (),
        where: str | LabelFilter | None = None,
    ) -> int:
        """Remove entries by path, of a file or of a folder around files, or by id; return how many.

        With `where` those of them that it selects, or of all. In one commit; files are not touched. Raises
        `InputError`, and removes nothing, if a path or id names no entry.
        """
        from edgesim.runtime.selection import Selection

        return self._store.remove(Selection.of(paths, ids, where))

    def label(self, changes: Iterable[LabelChange]) -> int:
        """Change labels, in one commit; return how many entries have others now.

        Raises `InputError`, and changes nothing, if a path or id names no entry.
        """
        changes = list(changes)
        for change in changes:
            check_labels(change.labels)
        return self._store.label(changes)

    def search(
        self, vector: NDArray[np.float32], k: int, where: str | LabelFilter | None = None
    ) -> list[Match]:
        """Return the `k` entries most similar to an L2-normalised vector (D,), best first.

        Exact up to `exact_limit` entries, and above it when there is no valid graph; a line in the log then
        says what to do. Among equal similarities an exact search keeps the order of addition. With `where`
        the entries are those that the filter selects (`edgesim.runtime.label_filter`).
        """
        with self._store.snapshot():
            ids, similarities = self.nearest(vector, k, where)
            entries = self._store.entries_of(ids.tolist())
        return [
            Match(similarity, entry.path, entry.labels, entry.entry_id)
            for similarity, entry in zip(similarities.tolist(), entries, strict=True)
        ]

    def nearest(
        self, vector: NDArray[np.float32], k: int, where: str | LabelFilter | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the ids (k,) and similarities (k,) of what `search` finds, without reading the entries."""
        if k < 1:
            raise UsageError(f"k must be at least 1, got {k}")
        selecting = _filter(where)
        if selecting is None:
            return self._search.nearest(vector, k)
        with self._store.snapshot():
            return self._search.nearest(vector, k, selecting)

    def refresh_graph(self, *, completely: bool = False) -> None:
        """Bring the search graph up to the entries, if there are enough of them to need one.

        It may lie behind by a tenth of the entries, see `LAG_SHARE`, unless it is to be done `completely`. A
        graph that cannot be written costs no more than speed: a line in the log says so.
        """
        if len(self) <= self._exact_limit:
            self._cache.delete()
        elif hnswlib_installed():
            try:
                allowed = 0 if completely else min(int(LAG_SHARE * len(self)), self._exact_limit)
                self._refresh_cache(allowed_lag=allowed)
            except StorageError as error:
                _log.warning("%s; the entries are safe, but searches are exact and slower", error)

    def _refresh_cache(self, *, anew: bool = False, allowed_lag: int = 0) -> None:
        if self._cache.refresh(self._store, anew=anew, allowed_lag=allowed_lag):
            self._search.forget()

    def rebuild_graph(self, recall: float | None = None, k: int = 10, memory: int | None = None) -> bool:
        """Build the search graph anew; return False if there are too few entries to need one.

        With `recall` its parameters are chosen so that searches find that share of the `k` nearest, within so
        many bytes of `memory`, see `choose_graph`; the index keeps them. Raises `UsageError` if no graph is
        so small, and `MissingDependencyError` if hnswlib is not installed.
        """
        if len(self) <= self._exact_limit:
            self._cache.delete()
            return False
        if recall is None:
            self._refresh_cache(anew=True)
            return True
        from edgesim.runtime.graph_settings import SETTING, choose_graph

        with self._store.snapshot():
            version, (ids, vectors) = self._store.version(), self._store.vectors()
        graph, settings = choose_graph(ids, vectors, recall, k, memory)
        self._store.set_setting(SETTING, settings.to_dict())
        self._cache.save(graph, version)
        self._search.forget()
        return True

    def graph_settings(self) -> GraphSettings | None:
        """Return how the search graph is built and searched, None as long as no recall was asked for."""
        from edgesim.runtime.graph_settings import read_graph_settings

        return read_graph_settings(self._store)

    def compact(self) -> bool:
        """Give back the room of removed entries, in the file and in the graph; return if that was built anew.

        That takes as much room as the index for a while. A power cut at any instant is harmless.
        """
        self._store.vacuum()
        self.refresh_graph(completely=True)
        if len(self) <= self._exact_limit or not hnswlib_installed():
            return False
        anew = self._cache.removed_share(self._store) > COMPACTED_SHARE
        if anew:
            self._refresh_cache(anew=True)
        return anew

    def stats(self) -> dict[str, Any]:
        """Return figures about the index, in plain JSON types, see `index_stats`."""
        from edgesim.runtime.index_stats import index_stats

        return index_stats(self._store, self._cache, self._exact_limit)


def _filter(where: str | LabelFilter | None) -> LabelFilter | None:
    if where is None:
        return None
    from edgesim.runtime.label_filter import LabelFilter

    return LabelFilter.of(where)
