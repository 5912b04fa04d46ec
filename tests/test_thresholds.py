"""Thresholds: by hand, by trying all, and whether their promises hold in simulated indexes."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from edgesim.errors import UsageError
from edgesim.thresholds import (
    Aims,
    Calibration,
    ScoreSet,
    Thresholds,
    calibrate,
    negatives_needed,
    require_scores,
    roc,
    verdict_shares,
)


def score_set(positives, negatives, weight=1.0) -> ScoreSet:
    return ScoreSet(
        positives=np.asarray(positives, dtype=np.float64),
        negatives=np.asarray(negatives, dtype=np.float64),
        weight=weight,
    )


def test_by_hand() -> None:
    # 59 trials without an event show 5 %, 93 with one (1 - 0.05 at I_0.05(2, 92)); so of 93 negatives one
    # may be above the threshold, and of 59 positives none below.
    negatives = np.linspace(0.1, 0.6, 93)
    positives = np.linspace(0.4, 0.9, 59)
    found = calibrate(score_set(positives, negatives), Aims(false_alarms=0.05, misses=0.05))
    second = np.float32(negatives[-2])
    assert found.thresholds == Thresholds(lower=0.4, upper=float(np.nextafter(second, np.float32(1))))
    assert (found.false_alarms.events, found.false_alarms.trials) == (1, 93)
    assert found.false_alarms.at_most == pytest.approx(beta.ppf(0.95, 2, 92))
    assert found.false_alarms.at_most <= 0.05 < beta.ppf(0.95, 3, 91)
    assert (found.misses.events, found.misses.trials) == (0, 59)


def test_no_lower_threshold_would_do() -> None:
    """Of all scores as thresholds, the one chosen is the lowest whose limit fits, and likewise for misses."""
    rng = np.random.default_rng(1)
    positives, negatives = rng.normal(0.7, 0.1, 400), rng.normal(0.4, 0.1, 900)
    aims = Aims(false_alarms=0.02, misses=0.03, confidence=0.9)
    found = calibrate(score_set(positives, negatives), aims).thresholds

    def fits(events: int, trials: int, rate: float) -> bool:
        return beta.ppf(0.9, events + 1, trials - events) <= rate

    fitting = [t for t in negatives if fits(int((negatives >= t).sum()), 900, 0.02)]
    refused = max(t for t in negatives if t < min(fitting))
    assert refused < found.upper <= min(fitting)
    assert found.lower == max(t for t in positives if fits(int((positives < t).sum()), 400, 0.03))


def test_where_the_thresholds_would_cross_nothing_is_unsure() -> None:
    found = calibrate(score_set(np.full(59, 0.9), np.full(299, 0.2)), Aims())
    assert found.thresholds.lower == found.thresholds.upper == np.nextafter(np.float32(0.2), np.float32(1))
    assert (found.false_alarms.events, found.misses.events) == (0, 0)


def test_verdicts() -> None:
    thresholds = Thresholds(lower=0.3, upper=0.5)
    verdicts = [thresholds.verdict(score) for score in (0.5, 0.49, 0.3, 0.29, 1.0, -1.0)]
    assert verdicts == ["match", "unsure", "unsure", "no match", "match", "no match"]
    shares = verdict_shares(np.array([0.5, 0.4, 0.1, 0.2]), thresholds)
    assert shares == {"match": 0.25, "unsure": 0.25, "no match": 0.5}


@pytest.mark.parametrize(
    ("positives", "negatives", "weight", "message"),
    [
        (
            100,
            298,
            1.0,
            "--false-alarms 0.01: 298 queries without a match cannot show so low a rate with 95 % "
            "confidence, it takes 299; add more, or pass --false-alarms 0.011",
        ),
        (
            100,
            3,
            0.5,
            "--false-alarms 0.01: 3 queries without a match cannot show so low a rate with 95 % confidence, "
            "it takes 598; add more, or pass --false-alarms 0.95",
        ),
        (
            10,
            299,
            1.0,
            "--misses 0.05: 10 queries with a match cannot show so low a rate with 95 % confidence, "
            "it takes 59; add more, or pass --misses 0.26",
        ),
        (
            0,
            299,
            1.0,
            "--misses 0.05: 0 queries with a match cannot show so low a rate with 95 % confidence, "
            "it takes 59; add more",
        ),
    ],
)
def test_too_few_scores(positives: int, negatives: int, weight: float, message: str) -> None:
    for refuse in (
        lambda: calibrate(score_set(np.zeros(positives), np.zeros(negatives), weight), Aims()),
        lambda: require_scores(positives, negatives, weight, Aims()),
    ):
        with pytest.raises(UsageError) as caught:
            refuse()
        assert str(caught.value) == message


def test_how_many_negatives_it_takes() -> None:
    assert (negatives_needed(Aims(), 1.0), negatives_needed(Aims(false_alarms=0.001), 0.5)) == (299, 5990)
    require_scores(59, 598, 0.5, Aims())


@pytest.mark.parametrize("wrong", [{"false_alarms": 0.0}, {"misses": 1.0}, {"confidence": float("nan")}])
def test_aims_between_0_and_1(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"^--[a-z-]+: expected a number between 0 and 1, got [0-9na.]+$"):
        Aims(**wrong)


def test_json_and_back() -> None:
    found = calibrate(score_set(np.linspace(0.3, 1, 80), np.linspace(-0.1, 0.6, 500)), Aims())
    assert Calibration.from_dict(found.to_dict()) == found
    values = found.to_dict()
    with pytest.raises(ValueError, match=r"thresholds 0\.6 and 0\.5"):
        Calibration.from_dict({**values, "thresholds": {"lower": 0.6, "upper": 0.5}})
    for number in (math.nan, math.inf):
        with pytest.raises(ValueError, match="lower: expected a finite number"):
            Calibration.from_dict({**values, "thresholds": {"lower": number, "upper": 0.5}})
    with pytest.raises(TypeError, match="events: expected a number, got str"):
        Calibration.from_dict({**values, "misses": {**values["misses"], "events": "2"}})


def test_roc_by_trying_all() -> None:
    rng = np.random.default_rng(2)
    scores = score_set(rng.integers(3, 9, 40) / 10, rng.integers(0, 6, 70) / 10)
    alarms, found = roc(scores)
    levels = sorted({*scores.positives.tolist(), *scores.negatives.tolist()}, reverse=True)
    for shares, kind in ((alarms, scores.negatives), (found, scores.positives)):
        expected = [0, *(float(np.mean(kind >= level)) for level in levels)]
        assert shares.tolist() == pytest.approx(expected, abs=1e-12)


def test_promises_hold_as_often_as_they_say() -> None:
    """Scores are uniform, so that a threshold's true rates are known; 400 calibrations."""
    rng = np.random.default_rng(3)
    aims = Aims(false_alarms=0.05, misses=0.1, confidence=0.9)
    kept = []
    for _ in range(400):
        # The positives are above all negatives but for the part below 0.8, so that both thresholds are free.
        thresholds = calibrate(score_set(rng.random(150), rng.random(300)), aims).thresholds
        kept.append((1 - thresholds.upper <= 0.05, thresholds.lower <= 0.1))
    # Three standard deviations of a share of 400 around 0.9 are 0.045; order statistics are steps, which
    # makes the promise hold a little more often.
    assert 0.86 < np.mean(kept, axis=0)[0] < 0.98
    assert 0.86 < np.mean(kept, axis=0)[1] < 0.98


def test_leave_one_out_counts_half() -> None:
    """In simulated indexes a promise at 95 % holds with half the weight, and not with the full."""
    rng = np.random.default_rng(4)
    aims = Aims(false_alarms=0.05)
    kept = {0.5: 0, 1.0: 0}
    rounds = 60
    for _ in range(rounds):
        vectors, queries = (unit(rng.standard_normal((count, 8))) for count in (800, 3000))
        similarity = vectors @ vectors.T
        np.fill_diagonal(similarity, -1)
        negatives = similarity.max(axis=1)
        truth = (queries @ vectors.T).max(axis=1)
        for weight in kept:
            threshold = calibrate(score_set(np.ones(60), negatives, weight), aims).thresholds.upper
            kept[weight] += float(np.mean(truth >= threshold)) <= 0.05
    assert kept[0.5] >= 0.9 * rounds
    assert kept[1.0] < 0.9 * rounds


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
