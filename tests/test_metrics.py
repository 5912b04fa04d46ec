"""Retrieval metrics against loops, scikit-learn and cases counted by hand."""

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score
from sklearn.metrics.pairwise import paired_cosine_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from edgesim.metrics import l2_normalise, nearest_neighbours, paired_cosine, precision_at_1, recall_at_k


def unit_rows(count: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def angles(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane: cosines between them are read off the difference of their angles."""
    radians = np.radians(np.array(degrees))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_l2_normalise_equals_scikit_learn() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32) * 30
    normalised = l2_normalise(rows)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, normalize(rows), rtol=1e-6)


def test_l2_normalise_by_hand() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]], dtype=np.float32)
    np.testing.assert_allclose(l2_normalise(rows), [[0.6, 0.8], [0.0, 0.0], [0.0, -1.0]], rtol=1e-7)


def test_l2_normalise_takes_any_leading_axes() -> None:
    rows = unit_rows(6) * 5
    np.testing.assert_array_equal(l2_normalise(rows.reshape(2, 3, 16)).reshape(6, 16), l2_normalise(rows))


# 600 queries cross the borders of the blocks of 256.
@pytest.mark.parametrize("k", [1, 5])
def test_nearest_neighbours_equal_scikit_learn(k: int) -> None:
    queries, references = unit_rows(600, seed=1), unit_rows(300, seed=2)
    found = nearest_neighbours(queries, references, k)
    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(references)
    np.testing.assert_array_equal(found, search.kneighbors(queries, return_distance=False))


def test_nearest_neighbours_by_hand() -> None:
    references = angles(0, 90, 40, 180)
    assert nearest_neighbours(angles(30, 100), references, 3).tolist() == [[2, 0, 1], [1, 2, 3]]


def test_ties_keep_the_lower_row_first() -> None:
    references = angles(90, 0, 90, 0)
    assert nearest_neighbours(angles(0, 90), references, 4).tolist() == [[1, 3, 0, 2], [0, 2, 1, 3]]


def test_many_ties_stay_in_order() -> None:
    references = np.repeat(angles(0, 90), 50, axis=0)
    assert nearest_neighbours(angles(90), references, 100)[0].tolist() == [*range(50, 100), *range(50)]


def test_no_more_neighbours_than_references() -> None:
    assert nearest_neighbours(unit_rows(3), unit_rows(2), 10).shape == (3, 2)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_recall_equals_scikit_learn(k: int) -> None:
    references = unit_rows(80, seed=3)
    truth = np.random.default_rng(4).integers(0, 80, 500)
    queries = l2_normalise(references[truth] + 2.0 * unit_rows(500, seed=5))
    expected = top_k_accuracy_score(truth, queries @ references.T, k=k, labels=np.arange(80))
    assert 0.1 < expected < 0.99
    assert recall_at_k(queries, references, truth, k) == pytest.approx(expected)


def test_recall_by_hand() -> None:
    references = angles(0, 60, 120)
    queries = angles(10, 50, 80, 80)  # nearest first: 0 1 2; 1 0 2; 1 2 0; 1 2 0
    truth = np.array([0, 0, 1, 0])
    assert recall_at_k(queries, references, truth, k=1) == 0.5
    assert recall_at_k(queries, references, truth, k=2) == 0.75
    assert recall_at_k(queries, references, truth, k=3) == 1.0


def test_recall_of_a_tie_counts_the_lower_row_only() -> None:
    references = angles(0, 0)
    assert recall_at_k(angles(0, 0), references, np.array([0, 1])) == 0.5


def test_precision_at_1_equals_a_loop() -> None:
    embeddings = unit_rows(600, dim=4, seed=6)
    labels = np.random.default_rng(7).integers(0, 3, 600)
    hits = 0
    for row in range(600):
        others = [other for other in range(600) if other != row]
        best = max(others, key=lambda other: float(embeddings[row] @ embeddings[other]))
        hits += int(labels[best] == labels[row])
    assert precision_at_1(embeddings, labels) == hits / 600


def test_precision_at_1_by_hand() -> None:
    # Nearest other: 0 -> 10, 10 -> 0, 90 -> 105, 105 -> 90, 50 -> 10 or 90 (both 40 away): 10 lies first.
    # The row at 105 is alone with its label: no query, but still the nearest of 90.
    embeddings = angles(0, 10, 50, 90, 105)
    assert precision_at_1(embeddings, np.array([1, 1, 2, 2, 3])) == 0.5


def test_paired_cosine_equals_scikit_learn() -> None:
    first, second = unit_rows(40, seed=8) * 3, unit_rows(40, seed=9) * 7
    expected = 1 - paired_cosine_distances(first, second)
    np.testing.assert_allclose(paired_cosine(first, second), expected, atol=1e-6)


def test_paired_cosine_by_hand() -> None:
    first = np.array([[2, 0], [1, 1], [1, 0]], dtype=np.float32)
    second = np.array([[5, 0], [1, 0], [-3, 0]], dtype=np.float32)
    np.testing.assert_allclose(paired_cosine(first, second), [1, np.sqrt(0.5), -1], rtol=1e-6)
