"""The parameters of an index's search graph, chosen for its size, a recall and a limit of memory.

The index keeps them:

setting `graph`   m, ef_construction, ef_search; recall, k, measured, entries, queries, memory, memory_limit
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import UsageError
from edgesim.metrics import l2_normalise
from edgesim.runtime import graph as hnsw
from edgesim.runtime.database import damaged
from edgesim.runtime.graph import Graph, HnswParameters, Ids, Vectors, best_of, graph_bytes
from edgesim.runtime.reader import EntryReader

SETTING = "graph"
# In the order in which they are tried: a denser graph takes more memory and time to build. Our choice.
_BUILDS = ((16, 128), (32, 256), (48, 512))
# Tried where memory allows none of these.
_SMALLEST = (8, 256)
_EF_SEARCH = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# So many entries are looked for, each with noise after which its cosine with itself is about this, as that of
# an edited copy may be: a vector that is in the graph itself would be too easy to find. Our choice.
QUERIES = 500
_COSINE = 0.8
_MIB = 2**20

_log = logging.getLogger("edgesim")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """How a graph is built and searched, and what was measured of it.

    Attributes:
        parameters: of HNSW.
        recall: which share of the `k` nearest was asked for.
        k: how many nearest.
        measured: the share that was found, by so many `queries`, when there were so many `entries`.
        memory: how many bytes the graph takes then, see `graph_bytes`; None if chosen by an earlier edgesim.
        memory_limit: how many were allowed; None: any.
    """

    parameters: HnswParameters
    recall: float
    k: int
    measured: float
    entries: int
    queries: int
    memory: int | None = None
    memory_limit: int | None = None

    @property
    def reason(self) -> str:
        """Why this graph and no other."""
        if self.measured >= self.recall:
            return "the smallest that finds so much"
        if self.memory_limit is not None and self.parameters.m < _BUILDS[-1][0]:
            return "the largest that memory allows"
        return "the largest that is tried"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        values = dataclasses.asdict(self)
        return {**values.pop("parameters"), **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GraphSettings:
        """Read what `to_dict` returned. Raises `TypeError` or `KeyError`."""
        values = dict(values)
        names = [field.name for field in dataclasses.fields(HnswParameters)]
        return cls(parameters=HnswParameters(**{name: values.pop(name) for name in names}), **values)


def read_graph_settings(store: EntryReader) -> GraphSettings | None:
    """Return what an index keeps, None if its graph has the default parameters."""
    value = store.setting(SETTING)
    try:
        return None if value is None else GraphSettings.from_dict(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(store.folder, f"setting {SETTING}: {error}") from error


def read_parameters(store: EntryReader) -> HnswParameters:
    """Return the parameters of an index's graph."""
    settings = read_graph_settings(store)
    return hnsw.DEFAULTS if settings is None else settings.parameters


def choose_graph(
    ids: Ids, vectors: Vectors, recall: float, k: int, memory: int | None = None
) -> tuple[Graph, GraphSettings]:
    """Build the smallest graph, and find the fastest search in it, that reach a recall.

    Args:
        ids: (N,).
        vectors: (N, D), L2-normalised.
        recall: which share of the `k` nearest a search is to find, on average; verified against an exact
            search for a sample of the entries, with noise. If it cannot be reached, a line in the log says
            so, and the best there is comes back.
        k: how many nearest.
        memory: how many bytes the graph may take in a process that searches, see `graph_bytes`; None: any.

    Raises:
        UsageError: a recall that is not above 0 and below 1, k below 1 or above N, or no graph fits into the
            memory.
        MissingDependencyError: hnswlib is not installed.
    """
    if not 0 < recall < 1:
        raise UsageError(f"the recall must lie above 0 and below 1, got {recall}; only an exact search has 1")
    if not 1 <= k <= len(ids):
        raise UsageError(f"k must be 1 to {len(ids)}, the number of entries, got {k}")
    builds = _builds_within(memory, len(ids), vectors.shape[1])
    queries = _noisy_sample(vectors)
    nearest = _exactly(ids, vectors, queries, k)
    for m, ef_construction in builds:
        graph = Graph.build(ids, vectors, HnswParameters(m, ef_construction))
        for ef_search in _EF_SEARCH:
            parameters = graph.parameters = HnswParameters(m, ef_construction, max(ef_search, k))
            measured = _recall(graph, queries, nearest)
            if measured >= recall:
                break
        if measured >= recall:
            break
    else:
        within = "" if memory is None else f" within {memory / _MIB:.0f} MiB of memory"
        _log.warning(
            "the recall %s is out of reach%s: the largest graph that is tried has %.4f",
            recall,
            within if builds[-1] != _BUILDS[-1] else "",
            measured,
        )
    return graph, GraphSettings(
        parameters=parameters,
        recall=recall,
        k=k,
        measured=measured,
        entries=len(ids),
        queries=len(queries),
        memory=graph_bytes(len(ids), vectors.shape[1], parameters.m),
        memory_limit=memory,
    )


def _builds_within(memory: int | None, entries: int, dim: int) -> list[tuple[int, int]]:
    """Return what to try, the smallest graph first. Raises `UsageError` if not even that fits."""
    if memory is None:
        return list(_BUILDS)
    fitting = [build for build in (_SMALLEST, *_BUILDS) if graph_bytes(entries, dim, build[0]) <= memory]
    if not fitting:
        raise UsageError(
            f"the smallest search graph of {entries} vectors of {dim} numbers takes "
            f"{graph_bytes(entries, dim, _SMALLEST[0]) / _MIB:.0f} MiB of memory, {memory / _MIB:.0f} are "
            "allowed; allow more, or remove entries"
        )
    return fitting if fitting == [_SMALLEST] else fitting[1:]


def _noisy_sample(vectors: Vectors) -> Vectors:
    chance = np.random.default_rng(0)
    rows = chance.choice(len(vectors), min(QUERIES, len(vectors)), replace=False)
    noise = chance.standard_normal((len(rows), vectors.shape[1]))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    queries = _COSINE * vectors[rows] + np.sqrt(1 - _COSINE**2) * noise
    return l2_normalise(queries)


def _exactly(ids: Ids, vectors: Vectors, queries: Vectors, k: int) -> NDArray[np.int64]:
    """Return the ids (Q, k) of the nearest, best first."""
    return np.stack([best_of(ids, vectors @ query, k)[0] for query in queries])


def _recall(graph: Graph, queries: Vectors, nearest: NDArray[np.int64]) -> float:
    hits, k = 0, nearest.shape[1]
    for query, expected in zip(queries, nearest, strict=True):
        found = graph.search(query, k)
        hits += 0 if found is None else len(np.intersect1d(found[0], expected))
    return hits / nearest.size
