"""Approximate nearest neighbours by HNSW (Malkov and Yashunin, arXiv 1603.09320), in hnswlib.

M, ef_construction and ef_search are the paper's parameters; their values are our choice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import missing_dependency

# Entries are inserted by so many at a time: Ctrl-C is heeded in between.
_CHUNK = 1000


@dataclasses.dataclass(frozen=True)
class HnswParameters:
    """M, ef_construction and ef_search of the paper."""

    m: int = 16
    ef_construction: int = 128
    ef_search: int = 64


DEFAULTS = HnswParameters()

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


def hnswlib_installed() -> bool:
    """Return whether hnswlib is installed, without importing it."""
    return importlib.util.find_spec("hnswlib") is not None


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
        for start in range(0, len(ids), _CHUNK):
            self._graph.add_items(vectors[start : start + _CHUNK], ids[start : start + _CHUNK])

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
