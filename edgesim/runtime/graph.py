"""Approximate nearest neighbours by HNSW (Malkov and Yashunin, arXiv 1603.09320), in hnswlib.

M, ef_construction and ef_search are the paper's parameters; their values are our choice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util

import numpy as np
from numpy.typing import NDArray

from edgesim.capacity import usable_cores
from edgesim.errors import missing_dependency

# Where the graph of an index lies in its folder (edgesim.runtime.graph_cache).
GRAPH_FILE = "graph.hnsw"
GRAPH_FACTS_FILE = "graph.json"
# Entries are inserted by so many at a time: Ctrl-C is heeded in between.
_CHUNK = 1000
# Of an exact search: with so many columns for each result hardly ever do two of the best fall into one.
# Our choice.
_COLUMNS_A_RESULT = 32


@dataclasses.dataclass(frozen=True)
class HnswParameters:
    """M, ef_construction and ef_search of the paper."""

    m: int = 16
    ef_construction: int = 128
    ef_search: int = 64


DEFAULTS = HnswParameters()

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


# What hnswlib 0.8 holds in memory for each entry besides the vector and its links, on a 64-bit machine: id,
# level, a pointer, a lock, the place in the table of ids, and a mark of a search; and once, locks. From its
# source; a process grows by this to within 1 %.
_ENTRY_BYTES, _LOCK_BYTES = 8 + 4 + 8 + 40 + 40 + 2, 65536 * 40


def graph_bytes(entries: int, dim: int, m: int) -> int:
    """Return how many bytes of memory a graph takes, for vectors of `dim` numbers and with M = `m`."""
    lowest_level, higher_levels = 4 * (2 * m + 1), 4 * (m + 1) / (m - 1)
    return int(entries * (4 * dim + lowest_level + higher_levels + _ENTRY_BYTES)) + _LOCK_BYTES


def hnswlib_installed() -> bool:
    """Return whether hnswlib is installed, without importing it."""
    try:
        return importlib.util.find_spec("hnswlib") is not None
    except ValueError:  # another thread is in the middle of its import
        return True


def best_of(ids: Ids, similarities: Vectors, k: int) -> tuple[Ids, Vectors]:
    """Return the k best of (N,), best first; among equal ones in the order that they are given in."""
    # All that reach a bound, so that the order decides among equals, and not the partition.
    rows = np.flatnonzero(similarities >= _bound(similarities, k)) if k < len(ids) else np.arange(len(ids))
    rows = rows[np.argsort(-similarities[rows], kind="stable")][:k]
    return ids[rows], similarities[rows]


def _bound(similarities: Vectors, k: int) -> np.float32:
    """Return a number that at least `k` of (N,) reach, and not many more.

    It is the k-th largest of the maxima of some columns: as many values reach it as columns do. To partition
    a hundred thousand similarities takes several times as long as the product that they come from.
    """
    columns = _COLUMNS_A_RESULT * k
    whole = len(similarities) // columns * columns
    if whole > columns:
        similarities = similarities[:whole].reshape(-1, columns).max(axis=0)
    return np.float32(np.partition(similarities, -k)[-k])


class Graph:
    """An HNSW graph over L2-normalised vectors of D numbers, each under the id of its entry.

    Raises:
        MissingDependencyError: hnswlib is not installed.

    Attributes:
        parameters: of these, `ef_search` may be changed at any time.
    """

    def __init__(self, dim: int, parameters: HnswParameters = DEFAULTS) -> None:
        self.parameters = parameters
        try:
            import hnswlib
        except ModuleNotFoundError as error:
            raise missing_dependency(error, "a search graph") from error
        self._graph = hnswlib.Index("ip", dim)

    @classmethod
    def build(cls, ids: Ids, vectors: Vectors, parameters: HnswParameters = DEFAULTS) -> Graph:
        """Return the graph of the entries with ids (N,) and vectors (N, D)."""
        graph = cls(vectors.shape[1], parameters)
        graph._graph.init_index(
            max_elements=len(ids), M=parameters.m, ef_construction=parameters.ef_construction
        )
        graph._insert(ids, vectors)
        return graph

    @classmethod
    def load(cls, path: str, dim: int) -> Graph:
        """Read what `save` wrote, trusting it blindly: its checksum must have been compared.

        Raises `RuntimeError` if hnswlib refuses it.
        """
        graph = cls(dim)
        graph._graph.load_index(path)
        return graph

    def save(self, path: str) -> int:
        """Write the graph; return how many bytes there must be, as hnswlib does not notice a full disk."""
        self._graph.save_index(path)
        return int(self._graph.index_file_size())

    def count(self) -> int:
        """Return how many entries are in the graph, those marked as removed included."""
        return int(self._graph.get_current_count())

    def ids(self) -> set[int]:
        """Return the ids in the graph, those marked as removed included."""
        return set(self._graph.get_ids_list())

    def vectors(self, ids: Ids) -> Vectors:
        """Return the vectors (N, D) of ids (N,) that are in the graph and not marked as removed."""
        return np.asarray(self._graph.get_items(ids, return_type="numpy"), dtype=np.float32)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add entries with ids (N,) and vectors (N, D)."""
        self._graph.resize_index(self._graph.get_current_count() + len(ids))
        self._insert(ids, vectors)

    def _insert(self, ids: Ids, vectors: Vectors) -> None:
        threads = usable_cores()
        for start in range(0, len(ids), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            self._graph.add_items(vectors[chunk], ids[chunk], num_threads=threads)

    def mark_removed(self, ids: set[int]) -> None:
        """Leave entries out of all answers from now on; those already marked stay so."""
        for entry_id in ids:
            with contextlib.suppress(RuntimeError):
                self._graph.mark_deleted(entry_id)

    def search(self, vector: NDArray[np.float32], k: int) -> tuple[Ids, Vectors] | None:
        """Return ids (k,) and similarities (k,) of about the k entries most similar to `vector`, best first.

        None if the graph does not lead to k entries: there are fewer, or too many equal ones.
        """
        self._graph.set_ef(max(self.parameters.ef_search, k))
        try:
            ids, distances = self._graph.knn_query(vector[None], k, num_threads=1)
        except RuntimeError:
            return None
        return ids[0].astype(np.int64), 1.0 - distances[0]
