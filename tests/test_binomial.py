"""Clopper-Pearson limits against SciPy, tables and hand-made sums."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import betainc
from scipy.stats import beta

from edgesim.binomial import (
    counted_share,
    events_allowed,
    lower_limit,
    regularised_incomplete_beta,
    trials_needed,
    upper_limit,
)


def test_incomplete_beta_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for a, b in 10 ** rng.uniform(-0.5, 6, (300, 2)):
        for x in (rng.beta(a, b), rng.random()):
            assert regularised_incomplete_beta(x, a, b) == pytest.approx(
                betainc(a, b, x), rel=1e-7, abs=1e-12
            )
    assert [regularised_incomplete_beta(x, 2, 3) for x in (-1.0, 0.0, 1.0, 2.0)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("events", "trials"), [(0, 1), (0, 10), (3, 10), (9, 10), (37, 2994), (5, 1_000_000)]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_limits_are_scipys(events: int, trials: int, confidence: float) -> None:
    upper = beta.ppf(confidence, events + 1, trials - events)
    assert upper_limit(events, trials, confidence) == pytest.approx(upper, rel=1e-8)
    lower = beta.ppf(1 - confidence, events, trials - events + 1) if events else 0
    assert lower_limit(events, trials, confidence) == pytest.approx(lower, rel=1e-8)


def test_limits_are_those_of_the_binomial_sum() -> None:
    # The definition: so few events have a probability of 5 % at the upper limit, so many at the lower one.
    for events, trials in ((0, 7), (2, 7), (11, 30)):
        chance = [
            [math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(trials + 1)]
            for p in (upper_limit(events, trials, 0.95), lower_limit(events, trials, 0.95))
        ]
        assert sum(chance[0][: events + 1]) == pytest.approx(0.05, rel=1e-9)
        if events:
            assert sum(chance[1][events:]) == pytest.approx(0.05, rel=1e-9)


def test_a_tabulated_interval() -> None:
    # Two-sided 95 % for 3 of 10, printed in many tables: 0.0667 to 0.6525.
    assert (round(lower_limit(3, 10, 0.975), 4), round(upper_limit(3, 10, 0.975), 4)) == (0.0667, 0.6525)


def test_nothing_known() -> None:
    assert (lower_limit(0, 0, 0.95), upper_limit(0, 0, 0.95)) == (0, 1)
    assert (lower_limit(4, 4, 0.95), upper_limit(4, 4, 0.95)) == (pytest.approx(0.05**0.25), 1)


@pytest.mark.parametrize(("rate", "needed"), [(0.05, 59), (0.01, 299), (0.001, 2995)])
def test_the_rule_of_three(rate: float, needed: int) -> None:
    assert trials_needed(rate, 0.95) == needed
    assert (1 - rate) ** needed <= 0.05 < (1 - rate) ** (needed - 1)
    assert (events_allowed(needed - 1, rate, 0.95), events_allowed(needed, rate, 0.95)) == (None, 0)


@pytest.mark.parametrize(("trials", "rate"), [(100, 0.05), (300, 0.05), (1000, 0.01), (50, 0.5)])
def test_events_allowed_by_trying_all(trials: int, rate: float) -> None:
    fitting = itertools.takewhile(
        lambda k: beta.ppf(0.95, k + 1, trials - k) <= rate if k < trials else False, itertools.count()
    )
    assert events_allowed(trials, rate, 0.95) == max(fitting)


def test_a_share_of_half_trials() -> None:
    share = counted_share(5, 400, 0.95, weight=0.5)
    assert (share.events, share.trials) == (5, 400)
    assert share.at_most == pytest.approx(beta.ppf(0.95, 3 + 1, 200 - 3))
    assert share.at_least == pytest.approx(beta.ppf(0.05, 2, 200 - 2 + 1))
