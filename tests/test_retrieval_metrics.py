"""Leave-one-out metrics against pytorch-metric-learning, plain loops, and cases counted by hand."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator, precision_at_k
from pytorch_metric_learning.utils.inference import CustomKNN

from edgesim.metrics import (
    leave_one_out_neighbours,
    neighbour_confusion,
    precision_at_1,
    retrieval_metrics,
)


class Calculator(AccuracyCalculator):
    """Theirs, with precision@10 added from their own parts."""

    def calculate_precision_at_10(self, knn_labels, query_labels, not_lone_query_mask, **kwargs):
        found, wanted = knn_labels[not_lone_query_mask], query_labels[not_lone_query_mask][:, None]
        return precision_at_k(found, wanted, 10, False, False, torch.eq)

    def requires_knn(self):
        return [*super().requires_knn(), "precision_at_10"]


# Their names for ours.
NAMES = {
    "precision_at_1": "precision_at_1",
    "precision_at_10": "precision_at_10",
    "r_precision": "r_precision",
    "map_at_r": "mean_average_precision_at_r",
}


def clusters(sizes: list[int], seed: int = 0, spread: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around a centre for each class, shuffled; overlapping, so that no metric is 0 or 1."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = rng.normal(size=(len(sizes), 8))[labels] + spread * rng.normal(size=(len(labels), 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def angles(*degrees: float) -> np.ndarray:
    radians = np.radians(np.array(degrees))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def ranked_by_loop(embeddings: np.ndarray, row: int) -> list[int]:
    similarity = embeddings @ embeddings[row]
    others = [other for other in range(len(embeddings)) if other != row]
    return sorted(others, key=lambda other: (-float(similarity[other]), other))


# 600 rows cross the borders of the blocks of 256; classes of one have no other to find.
SETS = [[100] * 6, [1, 250, 3, 2, 1, 40, 12], [2, 2], [1, 5, 1, 30], [300, 300]]


@pytest.mark.parametrize("sizes", SETS)
def test_equal_to_pytorch_metric_learning(sizes: list[int]) -> None:
    embeddings, labels = clusters(sizes)
    calculator = Calculator(
        include=tuple(NAMES.values()),
        k="max_bin_count" if max(sizes) > 10 else max(1, min(10, sum(sizes) - 1)),
        device=torch.device("cpu"),
        knn_func=CustomKNN(CosineSimilarity()),
    )
    expected = calculator.get_accuracy(torch.from_numpy(embeddings), torch.from_numpy(labels))
    measured = retrieval_metrics(embeddings, labels)
    assert measured.keys() == NAMES.keys()
    for ours, theirs in NAMES.items():
        assert measured[ours] == pytest.approx(expected[theirs], abs=1e-6)
    assert precision_at_1(embeddings, labels) == pytest.approx(measured["precision_at_1"], abs=1e-12)


@pytest.mark.parametrize("sizes", [[40, 3, 1, 17], [150, 120, 30]])
def test_equal_to_a_loop(sizes: list[int]) -> None:
    embeddings, labels = clusters(sizes, seed=1)
    rows = []
    for row in range(len(labels)):
        same = [labels[other] == labels[row] for other in ranked_by_loop(embeddings, row)]
        if not any(same):
            continue
        found = sum(same)
        precision = [sum(same[:i]) / i for i in range(1, found + 1)]
        average = sum(p for p, hit in zip(precision, same[:found], strict=True) if hit) / found
        rows.append((same[0], sum(same[:10]) / 10, precision[-1], average))
    expected = dict(zip(NAMES, np.mean(np.array(rows, dtype=float), axis=0), strict=True))
    assert 0.05 < expected["map_at_r"] < expected["r_precision"] < 0.95
    assert retrieval_metrics(embeddings, labels) == pytest.approx(expected)


def test_by_hand() -> None:
    # Neighbours: 0 -> 10 30 60; 10 -> 0 30 60; 30 -> 10 (20), then 0 before 60 (both 30); 60 -> 30 10 0.
    measured = retrieval_metrics(angles(0, 10, 30, 60), np.array([4, 7, 4, 4]))
    # The row at 10 is no query. At 0: - + +, R = 2: P(2) = 1/2, average (1/2)/2. At 30: - + +. At 60: + - +.
    assert measured == pytest.approx(
        {
            "precision_at_1": 1 / 3,
            "precision_at_10": 2 / 10,
            "r_precision": 1 / 2,
            "map_at_r": (1 / 4 + 1 / 4 + 1 / 2) / 3,
        }
    )


def test_ties_are_ranked_by_row() -> None:
    embeddings = np.tile(angles(0), (5, 1))
    assert leave_one_out_neighbours(embeddings, 3).tolist() == [
        [1, 2, 3],
        [0, 2, 3],
        [0, 1, 3],
        [0, 1, 2],
        [0, 1, 2],
    ]
    # Row 0 finds 1, every other row finds 0.
    labels = np.array([0, 1, 1, 0, 0])
    assert retrieval_metrics(embeddings, labels)["precision_at_1"] == 2 / 5
    assert precision_at_1(embeddings, labels) == 2 / 5


def test_no_row_finds_itself() -> None:
    embeddings, _ = clusters([300])
    found = leave_one_out_neighbours(embeddings, 1000)
    assert found.shape == (300, 299)
    assert not (found == np.arange(300)[:, None]).any()
    assert found[270].tolist() == ranked_by_loop(embeddings, 270)


@pytest.mark.parametrize("labels", [[0], [0, 1], [5, 3, 4]])
def test_nothing_to_find_is_zero(labels: list[int]) -> None:
    embeddings = angles(*range(len(labels)))
    assert set(retrieval_metrics(embeddings, np.array(labels)).values()) == {0.0}
    assert precision_at_1(embeddings, np.array(labels)) == 0.0


def test_confusion_equals_a_loop() -> None:
    embeddings, labels = clusters([150, 100, 30, 7], seed=2)
    expected = np.zeros((4, 4))
    for row in range(len(labels)):
        for other in ranked_by_loop(embeddings, row)[:10]:
            expected[labels[row], labels[other]] += 1
    expected *= 100 / expected.sum(axis=1, keepdims=True)
    measured = neighbour_confusion(embeddings, labels, 4)
    np.testing.assert_allclose(measured, expected)
    np.testing.assert_allclose(measured.sum(axis=1), 100)
    assert not np.allclose(measured, measured.T)


def test_confusion_by_hand() -> None:
    # The two nearest of 0: 10 30; of 10: 0 30; of 30: 10 0 (which ties with 60); of 60: 30 10.
    measured = neighbour_confusion(angles(0, 10, 30, 60), np.array([0, 0, 2, 2]), classes=3, k=2)
    np.testing.assert_array_equal(measured, [[50, 0, 50], [0, 0, 0], [75, 0, 25]])
