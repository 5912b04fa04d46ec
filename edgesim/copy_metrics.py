"""Copy detection: each query's nearest references, and how good the pooled predictions are, in NumPy.

The metrics are those of the Image Similarity Challenge 2021 (Douze et al. 2021, arXiv 2106.09672).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.metrics import FloatArray, l2_normalise

# Queries are compared this many at a time, so that the (Q, R) matrix is never held whole.
BLOCK = 256

# recall_at_p90 counts points of this precision at least.
_PRECISION = 0.9


@dataclass(frozen=True)
class Predictions:
    """Pairs that are said to be copies, P of them, in any order.

    queries: (P,) int64, the query's number.
    references: (P,) int64, the number of the reference that it is said to be made from.
    scores: (P,) float32 or float64, comparable between queries; larger is more alike.
    """

    queries: NDArray[np.int64]
    references: NDArray[np.int64]
    scores: NDArray[np.floating[Any]]


def predict(
    queries: FloatArray,
    references: FloatArray,
    k: int = 10,
    background: FloatArray | None = None,
    beta: float = 1.0,
    ranks: int = 3,
) -> Predictions:
    """Return each query's k nearest references, best first, with the similarity as score.

    Rows are normalised here; the order is that of the L2 distance between normalised rows. Ties keep the
    lower row first. With `background`, images that no query was made from, the score is the similarity
    minus beta times the mean similarity to the query's `ranks` nearest background rows (score normalisation,
    Pizzi et al. 2022, arXiv 2202.10261; the defaults are theirs): it makes scores comparable between queries
    and leaves the order within a query.

    Args:
        queries: (Q, D).
        references: (R, D).
        k: how many references each query predicts; all R where there are fewer.
        background: (B, D), or None for the plain similarity.
        beta: weight of the mean.
        ranks: how many background rows count; all B where there are fewer.

    Returns:
        Q * min(k, R) predictions with float32 scores; numbers are rows of `queries` and `references`.

    Raises:
        ValueError: k or ranks is below 1, or there is no row in `references` or `background`.
    """
    rows, scores = _nearest(queries, references, k)
    if background is not None:
        scores = scores - np.float32(beta) * background_similarity(queries, background, ranks)[:, None]
    numbers = np.repeat(np.arange(len(rows), dtype=np.int64), rows.shape[1])
    return Predictions(numbers, rows.ravel(), scores.ravel())


def background_similarity(queries: FloatArray, background: FloatArray, ranks: int = 3) -> FloatArray:
    """Return, as (Q,) float32, what score normalisation takes from each query's similarities.

    It is the mean similarity to the query's `ranks` nearest background rows, all B where there are fewer; see
    `predict`, whose rows (Q, D) and (B, D) these are and whose `ValueError` it raises.
    """
    _, nearest = _nearest(queries, background, ranks)
    return np.asarray(nearest.mean(axis=1))


def copy_detection_metrics(predictions: Predictions, truth: NDArray[np.int64]) -> dict[str, float]:
    """Return `micro_ap`, `recall_at_p90` and `recall_at_1` of the predictions of all queries together.

    The predictions are pooled and sorted by decreasing score; of one score the false come before the true.
    P(i) is the share of true pairs among the first i, R(i) is their number divided by that of all true pairs,
    predicted or not. `micro_ap` is the sum of (R(i) - R(i - 1)) * P(i), without interpolation;
    `recall_at_p90` is the largest R(i) whose P(i) is 0.9 at least, 0 where none is; `recall_at_1` is, among
    the queries that have a true pair, the share of those whose prediction with the highest score is true,
    no false one having that score. Predictions for queries without a true pair are false.

    Args:
        predictions: P of them, 0 is allowed; numbers as in `truth`.
        truth: (T, 2), query and reference of each true pair.

    Raises:
        ValueError: the truth is empty, a pair stands twice in it or in the predictions, or a score is NaN.
    """
    order, hits = _ranked_hits(predictions, truth)
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    precise = found[precision >= _PRECISION]
    _, first = np.unique(predictions.queries[order], return_index=True)
    return {
        "micro_ap": float(precision[hits].sum()) / len(truth),
        "recall_at_p90": float(precise.max(initial=0)) / len(truth),
        "recall_at_1": float(hits[first].sum()) / len(np.unique(truth[:, 0])),
    }


def _nearest(queries: FloatArray, others: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the k rows of `others` (N, D) nearest to each query and their similarity, both (Q, min(k, N)).

    Best first, ties keep the lower row first. Raises `ValueError` for k below 1 and for no others.
    """
    if k < 1:
        raise ValueError(f"expected 1 neighbour at least, got {k}")
    if len(others) == 0:
        raise ValueError("expected rows to find neighbours among, got none")
    k = min(k, len(others))
    rows = np.empty((len(queries), k), dtype=np.int64)
    nearest = np.empty((len(queries), k), dtype=np.float32)
    columns = l2_normalise(others).T
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        similarity = l2_normalise(queries[block]) @ columns
        rows[block] = _largest(similarity, k)
        nearest[block] = np.take_along_axis(similarity, rows[block], axis=1)
    return rows, nearest


def _largest(similarity: FloatArray, k: int) -> NDArray[np.int64]:
    """Return, as (B, k), the columns of the k largest of each row (B, N), largest first, ties by column."""
    place = similarity.shape[1] - k
    columns = np.sort(np.argpartition(similarity, place, axis=1)[:, place:], axis=1)
    chosen = np.take_along_axis(similarity, columns, axis=1)
    order = np.argsort(-chosen, axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    # Where more than k reach the k-th value, a partition takes any of them: such rows are sorted whole.
    reaching = (similarity >= chosen.min(axis=1, keepdims=True)).sum(axis=1)
    for row in np.flatnonzero(reaching > k):
        columns[row] = np.argsort(-similarity[row], kind="stable")[:k]
    return columns.astype(np.int64)


def _ranked_hits(
    predictions: Predictions, truth: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the order of the predictions (P,), the best first, and whether each is true, in that order."""
    if len(truth) == 0:
        raise ValueError("expected one true pair at least, got none")
    if np.isnan(predictions.scores).any():
        raise ValueError("expected scores that are numbers, got NaN")
    pairs = np.stack([predictions.queries, predictions.references], axis=1)
    _, numbers = np.unique(np.concatenate([pairs, truth]), axis=0, return_inverse=True)
    predicted, true = np.split(numbers.reshape(-1), [len(pairs)])
    for name, found in (("predictions", predicted), ("true pairs", true)):
        if len(np.unique(found)) < len(found):
            raise ValueError(f"expected each pair of query and reference once in the {name}, got one twice")
    hits = np.isin(predicted, true)
    # Of one score the false ones first: a method cannot gain by giving many pairs the same score.
    order = np.lexsort((hits, -predictions.scores))
    return order, hits[order]
