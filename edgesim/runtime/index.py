"""A folder that holds the vectors, paths and labels of images, and finds the nearest of them.

entries.sqlite3            the source of truth (edgesim.runtime.store)
graph.hnsw, graph.json     a cache that makes large indexes fast (edgesim.runtime.graph_cache)
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.bundle import Bundle
from edgesim.errors import EncoderMismatchError, StorageError, UsageError
from edgesim.runtime.database import ENTRIES_FILE
from edgesim.runtime.entry import Entry, NewEntry, entry_path
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.graph import Graph, hnswlib_installed
from edgesim.runtime.graph_cache import GRAPH_FACTS_FILE, GRAPH_FILE, GraphCache
from edgesim.runtime.keys import KeyModel
from edgesim.runtime.store import EntryStore

# Up to here a search compares with every entry, which is exact and takes a few milliseconds even on a
# Raspberry Pi; a graph would not be worth its memory. Our choice.
EXACT_LIMIT = 10_000

_log = logging.getLogger("edgesim")


@dataclasses.dataclass(frozen=True)
class Match:
    """One answer to a query.

    Attributes:
        similarity: cosine of the angle between the two embeddings, -1 to 1.
        path: absolute path of the image found.
        labels: its labels.
        entry_id: names that path with that content.
    """

    similarity: float
    path: str
    labels: dict[str, str]
    entry_id: int


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
        self._cache = GraphCache(store.folder, store.facts)
        self._generation = -1
        self._graph: Graph | None = None
        self._vectors: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
        self._warned = False

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

    def entries(self) -> list[Entry]:
        """Return all entries, in the order of their addition."""
        return self._store.entries()

    def find(self, path: str) -> Entry | None:
        """Return the entry of an absolute path, or None."""
        return self._store.find(path)

    def add(self, entries: Sequence[NewEntry]) -> None:
        """Add entries, and replace those of the same path, in one commit: all of them or none.

        Call `refresh_graph` after the last one.
        """
        self._store.write(entries)

    def remove(self, paths: Iterable[str | Path]) -> int:
        """Remove the entries of files, or of all files below folders, in one commit; return how many.

        Raises `InputError`, and removes nothing, if a path names no entry. Files are not touched.
        """
        return self._store.remove([entry_path(path) for path in paths])

    def search(self, vector: NDArray[np.float32], k: int) -> list[Match]:
        """Return the `k` entries most similar to an L2-normalised vector (D,), best first.

        Exact up to `exact_limit` entries, and above it when there is no valid graph; a line in the log then
        says what to do. Among equal similarities an exact search keeps the order of addition.
        """
        if k < 1:
            raise UsageError(f"k must be at least 1, got {k}")
        with self._store.snapshot():
            self._load()
            found = self._graph.search(vector, k) if self._graph else None
            ids, similarities = found or self._search_exactly(vector, k)
            return [self._match(int(i), float(s)) for i, s in zip(ids, similarities, strict=True)]

    def _match(self, entry_id: int, similarity: float) -> Match:
        entry = self._store.entry(entry_id)
        return Match(similarity, entry.path, entry.labels, entry_id)

    def _load(self) -> None:
        """Load the graph or the vectors, unless the ones at hand are those of the last commit."""
        generation = self._store.generation()
        if generation == self._generation:
            return
        self._generation, self._graph, self._vectors = generation, None, None
        state: str = "missing"
        if (self.folder / GRAPH_FACTS_FILE).exists() and hnswlib_installed():
            state, self._graph = self._cache.load(generation)
        if self._graph is None:
            self._vectors = self._store.vectors()
            if len(self._vectors[0]) > self._exact_limit:
                self._warn_of_exact_search(len(self._vectors[0]), state)

    def _warn_of_exact_search(self, count: int, state: str) -> None:
        if self._warned:
            return
        self._warned = True
        if hnswlib_installed():
            reason, cure = f"the search graph is {state}", f"edgesim index rebuild {self.folder}"
        else:
            reason, cure = "hnswlib is not installed", "pip install 'edgesim[hnsw]'"
        _log.warning(
            "%s: %s, so %d entries are searched exactly; for speed run: %s", self.folder, reason, count, cure
        )

    def _search_exactly(
        self, vector: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if self._vectors is None:
            self._vectors = self._store.vectors()
        ids, vectors = self._vectors
        similarities = vectors @ vector
        rows = np.arange(len(ids))
        if k < len(ids):
            # All that reach the k-th best, so that the order decides among equals, and not the partition.
            rows = np.flatnonzero(similarities >= np.partition(similarities, -k)[-k])
        rows = rows[np.argsort(-similarities[rows], kind="stable")][:k]
        return ids[rows], similarities[rows]

    def refresh_graph(self) -> None:
        """Bring the search graph up to the entries, if there are enough of them to need one.

        A graph that cannot be written costs no more than speed: a line in the log says so.
        """
        if len(self) <= self._exact_limit:
            self._cache.delete()
        elif hnswlib_installed():
            try:
                self._refresh_cache()
            except StorageError as error:
                _log.warning("%s; the entries are safe, but searches are exact and slower", error)

    def _refresh_cache(self, *, anew: bool = False) -> None:
        self._cache.refresh(self._store, anew=anew)
        self._generation = -1  # so that the next search loads the graph

    def rebuild_graph(self) -> bool:
        """Build the search graph anew; return False if there are too few entries to need one.

        Raises `MissingDependencyError` if hnswlib is not installed.
        """
        if len(self) <= self._exact_limit:
            self._cache.delete()
            return False
        self._refresh_cache(anew=True)
        return True

    def stats(self) -> dict[str, Any]:
        """Return figures about the index, in plain JSON types.

        `entries`, `embedding_dim`, `encoder`, `encoder_id`, `key_model` and `key_model_id` (None where the
        vectors come from the encoder), `bundle`, `generation` (commits that changed the vectors), `search`
        (`exact` or `hnsw`), `graph` (`not needed`, `fresh`, `stale`, `damaged`, `missing` or `no hnswlib`),
        `bytes` (of each file) and `labels` (key -> `entries` that have it and different `values`).
        """
        entries = len(self)
        graph = self._graph_state(entries)
        files = [self.folder / name for name in (ENTRIES_FILE, GRAPH_FILE, GRAPH_FACTS_FILE)]
        labels = self._store.label_counts()
        keys = self.facts.keys
        return {
            "entries": entries,
            "embedding_dim": self.facts.spec.embedding_dim,
            "encoder": self.facts.spec.name,
            "encoder_id": self.facts.encoder_id,
            "key_model": keys.name if keys else None,
            "key_model_id": keys.encoder_id if keys else None,
            "bundle": self.facts.bundle,
            "generation": self._store.generation(),
            "search": "hnsw" if graph == "fresh" else "exact",
            "graph": graph,
            "bytes": {file.name: file.stat().st_size for file in files if file.exists()},
            "labels": {key: {"entries": count, "values": values} for key, (count, values) in labels.items()},
        }

    def _graph_state(self, entries: int) -> str:
        if entries <= self._exact_limit:
            return "not needed"
        if not hnswlib_installed():
            return "no hnswlib"
        return self._cache.state(self._store.generation())
