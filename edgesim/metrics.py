"""Retrieval metrics, in NumPy. Training, export and bench all use these."""

from __future__ import annotations

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
    """Return the share of rows whose nearest other row has the same label (leave-one-out)."""
    hits = 0
    for start in range(0, len(embeddings), 256):
        similarity = embeddings[start : start + 256] @ embeddings.T
        rows = np.arange(len(similarity))
        similarity[rows, start + rows] = -np.inf
        hits += int((labels[similarity.argmax(axis=1)] == labels[start : start + 256]).sum())
    return hits / len(embeddings)


def paired_cosine(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the cosine between corresponding rows of two (N, D) arrays, as (N,)."""
    return np.asarray((l2_normalise(first) * l2_normalise(second)).sum(axis=1), dtype=np.float32)
