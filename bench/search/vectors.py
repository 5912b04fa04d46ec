"""What all benchmarks of searching draw: clustered vectors, and queries that are entries with noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgesim.metrics import l2_normalise

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]

DIM, K, CLUSTERS = 128, 10, 500
# So many vectors are compared with the queries at a time.
_PART = 100_000


def draw(count: int, queries: int = 100) -> tuple[Vectors, Vectors]:
    """Return vectors (count, D) and queries (Q, D), seeded and of length 1.

    The vectors lie around 500 centres; a query is one of them with noise, at a cosine of about 0.8.
    """
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, DIM), dtype=np.float32)
    noise = rng.standard_normal((count, DIM), dtype=np.float32)
    vectors = l2_normalise(centres[rng.integers(0, CLUSTERS, count)] + 0.7 * noise)
    return vectors, near(vectors[rng.integers(0, count, queries)], rng)


def near(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    """Return each of the vectors (N, D) with noise, of length 1, at a cosine of about 0.8."""
    away = l2_normalise(rng.standard_normal(vectors.shape, dtype=np.float32))
    return l2_normalise(0.8 * vectors + 0.6 * away).astype(np.float32)


def nearest_rows(vectors: Vectors, queries: Vectors, k: int = K) -> Rows:
    """Return the rows (Q, k) of the vectors (N, D) with the largest cosines to each query, in no order.

    By one product after the other, so that a million vectors need no more memory than themselves.
    """
    best = np.empty((len(queries), 0), dtype=np.float32)
    rows = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), _PART):
        part = queries @ vectors[start : start + _PART].T
        numbers = np.broadcast_to(np.arange(start, start + part.shape[1]), part.shape)
        best, rows = np.hstack([best, part]), np.hstack([rows, numbers])
        kept = np.argpartition(-best, min(k, best.shape[1]) - 1, axis=1)[:, :k]
        best, rows = np.take_along_axis(best, kept, 1), np.take_along_axis(rows, kept, 1)
    return rows


def recall(found: Rows, nearest: Rows) -> float:
    """Return which share of the nearest (Q, k) was found (Q, k)."""
    hits = sum(len(np.intersect1d(some, true)) for some, true in zip(found, nearest, strict=True))
    return hits / nearest.size
