"""Retrieval metrics, in NumPy. Training, export and bench all use these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def l2_normalise(embeddings: FloatArray) -> FloatArray:
    """Divide each row of (..., D) by its Euclidean length; rows of zeros stay zeros."""
    norms = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return np.asarray(embeddings / np.maximum(norms, 1e-12), dtype=np.float32)


def nearest_neighbours(queries: FloatArray, references: FloatArray, k: int) -> NDArray[np.intp]:
    """Return, as (Q, k), the rows of `references` (R, D) with the largest inner product, best first.

    Ties keep the lower row first. Queries go in blocks, so that the (Q, R) matrix is never held whole.
    """
    k = min(k, len(references))
    found = np.empty((len(queries), k), dtype=np.intp)
    for start in range(0, len(queries), 256):
        similarity = queries[start : start + 256] @ references.T
        found[start : start + 256] = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return found


def recall_at_k(
    queries: FloatArray, references: FloatArray, truth: NDArray[np.integer[Any]], k: int = 1
) -> float:
    """Return the share of queries whose true reference is among the k most similar.

    Args:
        queries: (Q, D), L2-normalised.
        references: (R, D), L2-normalised.
        truth: (Q,), the row of `references` that each query was made from.
        k: how many neighbours count.
    """
    found = nearest_neighbours(queries, references, k)
    return float(np.mean((found == np.asarray(truth)[:, None]).any(axis=1)))


def precision_at_1(embeddings: FloatArray, labels: NDArray[np.integer[Any]]) -> float:
    """Return the share of rows whose nearest other row has the same label, as `retrieval_metrics` does.

    It needs no ranking of all rows, and is therefore faster.
    """
    has_mate = _mates(labels) > 0
    if not has_mate.any():
        return 0.0
    hits = 0
    for block, similarity in _leave_one_out(embeddings):
        right = labels[similarity.argmax(axis=1)] == labels[block]
        hits += int((right & has_mate[block]).sum())
    return hits / int(has_mate.sum())


def leave_one_out_neighbours(embeddings: FloatArray, k: int) -> NDArray[np.intp]:
    """Return, as (N, min(k, N - 1)), the other rows of `embeddings` (N, D) most similar to each, best first.

    Ties keep the lower row first.
    """
    return np.concatenate([_ranked(similarity, k) for _, similarity in _leave_one_out(embeddings)])


def retrieval_metrics(embeddings: FloatArray, labels: NDArray[np.integer[Any]]) -> dict[str, float]:
    """Return how well each row finds the rows of its own label among all others (leave-one-out).

    The definitions are those of Musgrave et al. 2020 (arXiv 2003.08505, section 2.3). With R the number of
    other rows of the query's label, and P(i) the share of that label among the i nearest:
    `precision_at_1` is P(1), `precision_at_10` is P(10), `r_precision` is P(R), and `map_at_r` is the sum
    of P(i) over those i <= R whose row is of that label, divided by R. Each is the mean over queries.

    A row whose label no other row has is no query (R is 0), but stays among the others, as in
    pytorch-metric-learning. Where there is no query at all, every metric is 0. Places of the first ten that
    do not exist, in a set of fewer than 11 rows, count as wrong.

    Args:
        embeddings: (N, D), L2-normalised.
        labels: (N,), any integers.
    """
    mates = _mates(labels)
    names = ("precision_at_1", "precision_at_10", "r_precision", "map_at_r")
    queries = int((mates > 0).sum())
    if queries == 0:
        return dict.fromkeys(names, 0.0)
    totals = np.zeros(4)
    deepest = max(10, int(mates.max()))
    for block, similarity in _leave_one_out(embeddings):
        kept = mates[block] > 0
        same = labels[_ranked(similarity[kept], deepest)] == labels[block][kept, None]
        totals += _summed_precisions(same, mates[block][kept])
    return {name: float(total) / queries for name, total in zip(names, totals, strict=True)}


def neighbour_confusion(
    embeddings: FloatArray, labels: NDArray[np.integer[Any]], classes: int, k: int = 10
) -> NDArray[np.float64]:
    """Return, in percent, of which classes the k nearest other rows are: (C, C), true class by row.

    Rows sum to 100; that of a class without embeddings is zero.

    Args:
        embeddings: (N, D), L2-normalised; two at least.
        labels: (N,), from 0 to classes - 1.
        classes: C.
        k: how many neighbours of each row count; fewer where there are fewer others.
    """
    neighbours = leave_one_out_neighbours(embeddings, k)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (np.repeat(labels, neighbours.shape[1]), labels[neighbours].ravel()), 1)
    return np.asarray(100 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True)))


def paired_cosine(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the cosine between corresponding rows of two (N, D) arrays, as (N,)."""
    return np.asarray((l2_normalise(first) * l2_normalise(second)).sum(axis=1), dtype=np.float32)


def _mates(labels: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return (N,): how many other rows have the row's label."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] - 1)


def _leave_one_out(embeddings: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Yield 256 rows at a time, and their similarity to all (256, N), -inf to themselves."""
    for start in range(0, len(embeddings), 256):
        block = slice(start, min(start + 256, len(embeddings)))
        similarity = embeddings[block] @ embeddings.T
        rows = np.arange(len(similarity))
        similarity[rows, start + rows] = -np.inf
        yield block, similarity


def _ranked(similarity: FloatArray, k: int) -> NDArray[np.intp]:
    """Return the k best columns of each row (B, N), without the row itself, which comes last."""
    k = min(k, similarity.shape[1] - 1)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


def _summed_precisions(same: NDArray[np.bool_], mates: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return P(1), P(10), P(R) and average precision at R, each summed over the queries of a block.

    Args:
        same: (B, K), whether the i-th neighbour has the query's label; K >= R.
        mates: (B,), R of each query.
    """
    places = np.arange(1, same.shape[1] + 1)
    relevant = same & (places <= mates[:, None])
    precision = np.cumsum(same, axis=1) / places
    return np.array(
        [
            same[:, 0].sum(),
            same[:, :10].sum() / 10,
            (relevant.sum(axis=1) / mates).sum(),
            ((precision * relevant).sum(axis=1) / mates).sum(),
        ]
    )
