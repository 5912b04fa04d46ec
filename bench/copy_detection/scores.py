"""Embedding what the copy benchmark asks with several encoders at once, and scoring what they find."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from copy_detection.benchmark import Part
from copy_detection.peers import CopyEncoder, FloatArray, Pictures
from edgesim.copy_metrics import Predictions, copy_detection_metrics, predict

_NEIGHBOURS = 10


def embed_all(
    pictures: Iterable[Image.Image], count: int, encoders: Sequence[CopyEncoder], title: str, queries: bool
) -> list[FloatArray]:
    """Return each encoder's embeddings, (V, N, D) of queries and (N, D) of others; see `CopyEncoder`.

    Every picture is made once and shown to all encoders, so that no more than a batch is held.
    """
    found: list[list[FloatArray]] = [[] for _ in encoders]
    with tqdm(total=count, desc=title, disable=None) as bar:
        for batch in _batches(pictures):
            for rows, encoder in zip(found, encoders, strict=True):
                rows.append(encoder.embed_queries(batch) if queries else encoder.embed(batch))
            bar.update(len(batch))
    return [np.concatenate(rows, axis=1 if queries else 0) for rows in found]


def _batches(pictures: Iterable[Image.Image], size: int = 64) -> Iterator[Pictures]:
    left = iter(pictures)
    while batch := list(itertools.islice(left, size)):
        yield batch


def predict_versions(
    queries: FloatArray, references: FloatArray, background: FloatArray | None = None
) -> Predictions:
    """Return the ten best references of each query (V, N, D), a reference's score the best of V versions.

    The best ten by that score are among the ten best of the versions.
    """
    found = [predict(version, references, _NEIGHBOURS, background) for version in queries]
    if len(found) == 1:
        return found[0]
    numbers = np.concatenate([one.queries for one in found])
    rows = np.concatenate([one.references for one in found])
    scores = np.concatenate([one.scores for one in found])
    order = np.lexsort((-scores, rows, numbers))
    _, first = np.unique(np.stack([numbers[order], rows[order]]), axis=1, return_index=True)
    kept = order[first]
    kept = kept[np.lexsort((rows[kept], -scores[kept], numbers[kept]))]
    _, start, counts = np.unique(numbers[kept], return_index=True, return_counts=True)
    place = np.arange(len(kept)) - np.repeat(start, counts)
    kept = kept[place < _NEIGHBOURS]
    return Predictions(numbers[kept], rows[kept], scores[kept])


def scores(part: Part, queries: FloatArray, references: FloatArray, background: FloatArray) -> dict[str, Any]:
    """Return the metrics of a part, with the plain similarity and with normalised scores, and by label."""
    truth = part.truth()
    plain = predict_versions(queries, references)
    normalised = copy_detection_metrics(predict_versions(queries, references, background), truth)
    labels = np.array([query.label for query in part.queries])
    return {
        **_rounded(copy_detection_metrics(plain, truth)),
        "normalised": _rounded({key: normalised[key] for key in ("micro_ap", "recall_at_p90")}),
        "recall_at_1_by": _rounded(_recall_by(plain, truth, labels)),
    }


def _recall_by(predictions: Predictions, truth: Any, labels: Any) -> dict[str, float]:
    """Return recall@1 of the queries of each label, in the order in which the labels come."""
    found = {}
    for label in dict.fromkeys(labels[truth[:, 0]].tolist()):
        ours = labels[predictions.queries] == label
        some = Predictions(predictions.queries[ours], predictions.references[ours], predictions.scores[ours])
        found[label] = copy_detection_metrics(some, truth[labels[truth[:, 0]] == label])["recall_at_1"]
    return found


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}
