"""Copy detection metrics against counting, scikit-learn and cases by hand; predictions against loops."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import average_precision_score

from edgesim import copy_metrics
from edgesim.copy_metrics import Predictions, copy_detection_metrics, predict

Pair = tuple[int, int]


def measured(scores: dict[Pair, float], truth: list[Pair]) -> dict[str, float]:
    pairs = np.array(list(scores), dtype=np.int64).reshape(-1, 2)
    values = np.array(list(scores.values()), dtype=np.float64)
    return copy_detection_metrics(Predictions(pairs[:, 0], pairs[:, 1], values), np.array(truth))


def counted(scores: dict[Pair, float], truth: list[Pair]) -> dict[str, float]:
    """The same, at each score by counting who has at least it; nothing is sorted by being true."""
    average, precise = 0.0, [0]
    for score in set(scores.values()):
        above = [pair for pair in scores if scores[pair] > score]
        level = [pair for pair in scores if scores[pair] == score]
        right = sum(pair in truth for pair in above)
        level_right = sum(pair in truth for pair in level)
        level_wrong = len(level) - level_right
        for place in range(1, level_right + 1):
            average += (right + place) / (len(above) + level_wrong + place) / len(truth)
        if 10 * (right + level_right) >= 9 * (len(above) + len(level)):
            precise.append(right + level_right)
    wins = []
    for query in {query for query, _ in truth}:
        own = [pair for pair in scores if pair[0] == query]
        best = [pair for pair in own if scores[pair] == max(scores[other] for other in own)]
        wins.append(bool(best) and all(pair in truth for pair in best))
    return {
        "micro_ap": average,
        "recall_at_p90": max(precise) / len(truth),
        "recall_at_1": sum(wins) / len(wins),
    }


def signs(rows: int, seed: int) -> np.ndarray:
    """(rows, 16) of 1 and -1, of length 4: all similarities are exact multiples of 1/8, with many ties."""
    return np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.float32), (rows, 16))


def test_by_hand() -> None:
    truth = [(0, 0), (1, 1), (2, 2), (2, 3)]
    #                 true                    true         query 3 has none   true
    scores = {(0, 0): 0.9, (1, 5): 0.8, (1, 1): 0.7, (3, 0): 0.6, (2, 2): 0.5}
    # P(i): 1, 1/2, 2/3, 2/4, 3/5; (2, 3) was not predicted but is among the four.
    # First of query 0: true, of 1: false, of 2: true; query 3 does not count.
    assert measured(scores, truth) == pytest.approx(
        {"micro_ap": (1 + 2 / 3 + 3 / 5) / 4, "recall_at_p90": 1 / 4, "recall_at_1": 2 / 3}
    )


def test_recall_counts_points_after_a_weak_one() -> None:
    # Of the first ten the third is false: P(3) = 2/3, P(10) = 9/10, which counts; P(11) = 9/11 does not.
    scores = {(query, 0): 1.0 - query / 100 for query in range(11)}
    truth = [(query, 0) for query in (0, 1, *range(3, 10))] + [(query, 1) for query in range(11)]
    assert measured(scores, truth)["recall_at_p90"] == 9 / 20
    # One more false one among them: P(9) = 7/9, P(10) = 8/10, so that only the first two are precise.
    truth[4] = (5, 1000)
    assert measured(scores, truth)["recall_at_p90"] == 2 / 20


def test_ties_count_against_us() -> None:
    # In order: false, true, true. P(i): 0, 1/2, 2/3. Query 0 has a false one as good as the true one.
    scores = {(0, 0): 0.5, (0, 1): 0.5, (1, 1): 0.5}
    assert measured(scores, [(0, 0), (1, 1)]) == pytest.approx(
        {"micro_ap": (1 / 2 + 2 / 3) / 2, "recall_at_p90": 0.0, "recall_at_1": 1 / 2}
    )


def test_two_true_references_at_the_top_are_no_tie_against_us() -> None:
    assert measured({(0, 0): 1.0, (0, 1): 1.0}, [(0, 0), (0, 1)]) == {
        "micro_ap": 1.0,
        "recall_at_p90": 1.0,
        "recall_at_1": 1.0,
    }


def test_true_pairs_that_were_not_predicted_lower_the_recall() -> None:
    # One of four found, at P(1) = 1. Queries 0, 1 and 2 have true pairs; only query 0 predicted anything.
    truth = [(0, 0), (1, 1), (1, 2), (2, 2)]
    expected = {"micro_ap": 1 / 4, "recall_at_p90": 1 / 4, "recall_at_1": 1 / 3}
    assert measured({(0, 0): 1.0}, truth) == pytest.approx(expected)


def test_queries_without_a_match_lower_the_precision() -> None:
    scores = {(0, 0): 0.9, (1, 1): 0.8}
    truth = [(0, 0), (1, 1)]
    assert set(measured(scores, truth).values()) == {1.0}
    # Two distractors in front: P(3) = 1/3, P(4) = 2/4. The first predictions of 0 and 1 stay true.
    assert measured({**scores, (7, 0): 0.95, (8, 1): 0.95}, truth) == pytest.approx(
        {"micro_ap": (1 / 3 + 2 / 4) / 2, "recall_at_p90": 0.0, "recall_at_1": 1.0}
    )
    # Behind all true ones they change nothing.
    assert set(measured({**scores, (7, 0): 0.1}, truth).values()) == {1.0}


def test_nothing_predicted_is_zero() -> None:
    assert set(measured({}, [(0, 0)]).values()) == {0.0}


PAIRS = st.tuples(st.integers(0, 4), st.integers(0, 4))


@settings(deadline=None)
@given(
    scores=st.dictionaries(PAIRS, st.integers(-3, 3)),
    truth=st.lists(PAIRS, min_size=1, max_size=15, unique=True),
)
def test_equal_to_counting(scores: dict[Pair, float], truth: list[Pair]) -> None:
    assert measured(scores, truth) == pytest.approx(counted(scores, truth), abs=1e-12)


@pytest.mark.parametrize("distinct", [1, 10, 200])
def test_equal_to_counting_on_many(distinct: int) -> None:
    rng = np.random.default_rng(distinct)
    truth = [(query, int(rng.integers(30))) for query in range(60)]
    pairs = {*truth[:50], *((int(q), int(r)) for q, r in rng.integers(0, (80, 30), (150, 2)))}
    scores = {pair: float(rng.integers(distinct) + distinct * (pair in truth) // 2) for pair in sorted(pairs)}
    expected = counted(scores, truth)
    assert 0.1 < expected["micro_ap"] < 0.9
    assert measured(scores, truth) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn_without_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [(query, reference) for query in range(20) for reference in range(15)]
    values = rng.permutation(len(pairs)) / len(pairs)
    labels = rng.random(len(pairs)) < 0.2
    values[labels] += 0.3017  # no multiple of the step: no ties
    truth = [pair for pair, label in zip(pairs, labels, strict=True) if label]
    ours = measured(dict(zip(pairs, values.tolist(), strict=True)), truth)
    assert ours["micro_ap"] == pytest.approx(average_precision_score(labels, values), abs=1e-12)


def test_the_order_of_the_predictions_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    scores = {(int(q), int(r)): float(rng.integers(4)) for q, r in rng.integers(0, 10, (60, 2))}
    truth = [(number, number) for number in range(10)]
    backwards = dict(reversed(scores.items()))
    assert measured(scores, truth) == measured(backwards, truth)


WRONG = [
    (
        [(0, 0), (1, 2), (0, 0)],
        [0.1, 0.2, 0.3],
        [(0, 0)],
        "expected each pair of query and reference once in the predictions, got one twice",
    ),
    (
        [(0, 0), (1, 2)],
        [0.1, 0.2],
        [(1, 1), (1, 1)],
        "expected each pair of query and reference once in the true pairs, got one twice",
    ),
    ([(0, 0), (1, 2)], [0.1, np.nan], [(0, 0)], "expected scores that are numbers, got NaN"),
    ([(0, 0)], [0.1], np.empty((0, 2), dtype=np.int64), "expected one true pair at least, got none"),
]


@pytest.mark.parametrize(("pairs", "scores", "truth", "message"), WRONG)
def test_what_is_refused(pairs: list[Pair], scores: list[float], truth: list[Pair], message: str) -> None:
    queries, references = np.array(pairs).T
    with pytest.raises(ValueError, match=f"^{message}$"):
        copy_detection_metrics(Predictions(queries, references, np.array(scores)), np.array(truth))


def loop_predictions(
    queries: np.ndarray,
    references: np.ndarray,
    k: int,
    background: np.ndarray | None,
    beta: float,
    ranks: int,
) -> list[tuple[int, int, float]]:
    """What `predict` does, one cosine at a time."""

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        lengths = np.linalg.norm(one.astype(float)) * np.linalg.norm(other.astype(float))
        return round(float(one.astype(float) @ other.astype(float) / lengths), 12)

    found = []
    for number, query in enumerate(queries):
        ranked = sorted((-cosine(query, reference), row) for row, reference in enumerate(references))
        usual = 0.0
        if background is not None:
            nearest = sorted((cosine(query, other) for other in background), reverse=True)[:ranks]
            usual = beta * sum(nearest) / len(nearest)
        found += [(number, row, -minus - usual) for minus, row in ranked[:k]]
    return found


@pytest.mark.parametrize("k", [1, 5, 300])
@pytest.mark.parametrize("normalised", [False, True])
def test_predictions_equal_a_loop_with_many_ties(k: int, normalised: bool) -> None:
    queries, references = signs(30, seed=0), signs(100, seed=1)
    background = signs(40, seed=2) if normalised else None
    found = predict(queries, references, k, background, beta=2.0, ranks=4)
    expected = loop_predictions(queries, references, k, background, beta=2.0, ranks=4)
    assert len(found.queries) == 30 * min(k, 100)
    assert found.queries.tolist() == [query for query, _, _ in expected]
    assert found.references.tolist() == [reference for _, reference, _ in expected]
    np.testing.assert_allclose(found.scores, [score for _, _, score in expected], atol=1e-6)
    assert (found.queries.dtype, found.references.dtype, found.scores.dtype) == (
        np.int64,
        np.int64,
        "float32",
    )


def test_the_order_is_that_of_the_distance() -> None:
    rng = np.random.default_rng(3)
    queries, references = rng.normal(size=(20, 6)), rng.normal(size=(50, 6)) * rng.uniform(1, 9, (50, 1))
    found = predict(queries.astype(np.float32), references.astype(np.float32), k=50)
    unit = references / np.linalg.norm(references, axis=1, keepdims=True)
    for number, query in enumerate(queries):
        distance = np.linalg.norm(unit - query / np.linalg.norm(query), axis=1)
        assert found.references[50 * number :][:50].tolist() == np.argsort(distance).tolist()


def test_normalisation_moves_whole_queries() -> None:
    queries, references, background = signs(20, seed=4), signs(60, seed=5), signs(2, seed=6)
    plain = predict(queries, references)
    # Two background rows where three were asked for: their mean.
    moved = predict(queries, references, background=background)
    np.testing.assert_array_equal(plain.references, moved.references)
    mean = (queries @ background.T / 16).mean(axis=1)
    np.testing.assert_allclose(plain.scores - moved.scores, np.repeat(mean, 10), atol=1e-6)
    assert len(set(mean)) == 5


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references, background = signs(600, seed=7), signs(90, seed=8), signs(30, seed=9)
    found = []
    for block in (copy_metrics.BLOCK, 7, 600):
        monkeypatch.setattr(copy_metrics, "BLOCK", block)
        found.append(predict(queries, references, 4, background))
    for other in found[1:]:
        for name in ("queries", "references", "scores"):
            np.testing.assert_array_equal(getattr(found[0], name), getattr(other, name))


def test_predict_refuses_what_cannot_be_ranked() -> None:
    rows = signs(3, seed=0)
    for arguments in ({"k": 0}, {"background": rows, "ranks": 0}):
        with pytest.raises(ValueError, match=r"^expected 1 neighbour at least, got 0$"):
            predict(rows, rows, **arguments)
    for arguments in ({"references": rows[:0]}, {"references": rows, "background": rows[:0]}):
        with pytest.raises(ValueError, match=r"^expected rows to find neighbours among, got none$"):
            predict(rows, **arguments)
    assert len(predict(rows[:0], rows).scores) == 0
