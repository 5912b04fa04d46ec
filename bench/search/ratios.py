"""The ratios to hnswlib and NumPy that edgesim is to keep to, each side in turn in one process.

Of every pair of measurements, one of each side, the ratio is taken, and of the ratios the median.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import milliseconds, ratio_in_turn

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.runtime.index import Index
from search import hnswlib_index
from search.edgesim_index import ALWAYS, NEVER, Exact, Hnsw, add_all, new_entry
from search.library import Library
from search.vectors import K, Vectors, draw, nearest_rows, recall

LARGE, SMALL, QUERIES, ROUNDS, BUILDS, LOADS = 100_000, 10_000, 200, 5, 3, 9
_WARM_UP = 20
Measured = dict[str, float]
# One entry in a hundred has the label that is searched for.
_FILTER, _SHARE = "hundredth=0", 100


def in_turn(ours: Callable[[], object], others: Callable[[], object], rounds: int) -> Measured:
    """Return the medians of both in milliseconds, and the median of the ratios of ours to the other.

    Who is second finds the processor's caches and branch predictor warm, so they take turns in that, too.
    """
    pairs = []
    for number in range(rounds):
        if number % 2:
            theirs, mine = milliseconds(others), milliseconds(ours)
        else:
            mine, theirs = milliseconds(ours), milliseconds(others)
        pairs.append((mine, theirs))
    return summary(pairs)


def by_query(
    ours: Callable[[Vectors], object], others: Callable[[Vectors], object], queries: Vectors
) -> Measured:
    """The same over rounds of queries (Q, D), after a warm-up."""
    for query in queries[:_WARM_UP]:
        ours(query)
        others(query)
    rounds = itertools.cycle(queries), itertools.cycle(queries)
    return in_turn(lambda: ours(next(rounds[0])), lambda: others(next(rounds[1])), ROUNDS * len(queries))


def summary(pairs: Sequence[tuple[float, float]]) -> Measured:
    """Return the median ratio of pairs, ours and the other's milliseconds, and the median of each."""
    ours, others = zip(*pairs, strict=True)
    ratio = ratio_in_turn(ours, others)
    return {"value": ratio, "ours_ms": statistics.median(ours), "others_ms": statistics.median(others)}


def measure_ratios(folder: Path) -> dict[str, dict[str, Any]]:
    """Return, by what is compared, its value and bound, and what was measured; needs an empty folder."""
    vectors, queries = draw(LARGE, QUERIES)
    return {
        **_builds(folder, vectors),
        **_lookups(folder / "large", vectors, queries),
        **_filters(folder / "labelled", vectors, queries),
        **_exact(folder / "small"),
    }


def _builds(folder: Path, vectors: Vectors) -> dict[str, dict[str, Any]]:
    """Bulk loading; leaves the index of `vectors` in the folder `large`."""
    made = itertools.count()

    def build(library: Library) -> None:
        path = folder / str(next(made))
        path.mkdir()
        library.build(vectors, path)

    measured = in_turn(lambda: build(Hnsw()), lambda: build(hnswlib_index.Hnsw()), BUILDS)
    (folder / "0").rename(folder / "large")
    return {"rate of bulk loading": {**measured, "value": 1 / measured["value"], "bound": "at least 0.9"}}


def _lookups(folder: Path, vectors: Vectors, queries: Vectors) -> dict[str, dict[str, Any]]:
    """Searches through the graph, and opening it; both sides read one file."""
    graph = hnswlib_index.load(folder / "graph.hnsw")
    loads = in_turn(
        lambda: Hnsw().open(folder)(queries[0]),
        lambda: hnswlib_index.load(folder / "graph.hnsw").knn_query(queries[0], K, num_threads=1),
        LOADS,
    )
    with Index.open(folder, read_only=True, exact_limit=NEVER) as index:

        def others(query: Vectors) -> object:
            return graph.knn_query(query, K, num_threads=1)

        ids = by_query(lambda query: index.nearest(query, K), others, queries)
        matches = by_query(lambda query: index.search(query, K), others, queries)
        found = np.stack([index.nearest(query, K)[0] - 1 for query in queries])
    share = recall(found, nearest_rows(vectors, queries))
    return {
        "HNSW lookup, ids and similarities": {**ids, "bound": "at most 1.15"},
        "HNSW lookup, with paths and labels": {**matches, "bound": "at most 1.15"},
        "opening": {**loads, "bound": "at most 1.5"},
        f"recall@{K}": {"value": share, "bound": "at least 0.99"},
    }


def _filters(folder: Path, vectors: Vectors, queries: Vectors) -> dict[str, dict[str, Any]]:
    """A filter that 1 % of the entries satisfy, beside no filter; the first search with it apart."""
    make_labelled(folder, vectors)
    with Index.open(folder, read_only=True) as index:
        index.search(queries[0], K)
        first = milliseconds(lambda: index.search(queries[0], K, _FILTER))
        measured = by_query(
            lambda query: index.search(query, K, _FILTER), lambda query: index.search(query, K), queries
        )
    return {"filter of 1 %": {**measured, "first_ms": first, "bound": "at most 1"}}


def make_labelled(folder: Path, vectors: Vectors) -> None:
    """Make an index with a graph in which one entry in a hundred has the label searched for."""
    labels: list[Mapping[str, str]] = [{"hundredth": str(number)} for number in range(_SHARE)]
    with Index.create(folder, Bundle.load(bundle_folder("copy")), exact_limit=NEVER) as index:
        add_all(index, (new_entry(row, vector, labels[row % _SHARE]) for row, vector in enumerate(vectors)))


def _exact(folder: Path) -> dict[str, dict[str, Any]]:
    """An exact search beside the best that NumPy has for the product of the vectors and one query."""
    vectors, queries = draw(SMALL, QUERIES)
    folder.mkdir()
    Exact().build(vectors, folder)
    with Index.open(folder, read_only=True, exact_limit=ALWAYS) as index:
        product = best_product(vectors, queries)
        ids = by_query(lambda query: index.nearest(query, K), product, queries)
        matches = by_query(lambda query: index.search(query, K), product, queries)
    return {
        "exact search, ids and similarities": {**ids, "bound": "at most 1.2"},
        "exact search, with paths and labels": {**matches, "bound": "at most 1.2"},
    }


def best_product(vectors: Vectors, queries: Vectors) -> Callable[[Vectors], Vectors]:
    """Return the fastest of NumPy's ways from a query (D,) to all similarities (N,)."""
    columns = np.ascontiguousarray(vectors.T)
    out = np.empty(len(vectors), dtype=np.float32)
    ways: list[Callable[[Vectors], Vectors]] = [
        lambda query: vectors @ query,
        lambda query: np.dot(vectors, query, out=out),
        lambda query: query @ columns,
        lambda query: np.dot(query, columns, out=out),
        lambda query: np.asarray(np.einsum("nd,d->n", vectors, query)),
    ]
    medians = [
        statistics.median([milliseconds(lambda: way(query)) for _ in range(ROUNDS) for query in queries])  # noqa: B023
        for way in ways
    ]
    return ways[medians.index(min(medians))]
