"""How sure a share is that was counted: Clopper-Pearson limits, with NumPy's and SciPy's part done here.

SciPy is too large for the devices; the limits need no more of it than the regularised incomplete beta
function.
"""

from __future__ import annotations

import dataclasses
import math

# Lentz's continued fraction: where a term changes the value by less, and how many terms there may be. About
# the square root of the number of trials is needed.
_PRECISION = 1e-15
_TERMS = 20_000
# Keeps the fraction's denominators from being zero.
_TINY = 1e-300


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """A counted share and its limits.

    Attributes:
        events: how often it happened.
        trials: of how many times.
        at_least: what the true share is no lower than, with the confidence asked for.
        at_most: what it is no higher than, with that confidence.
    """

    events: int
    trials: int
    at_least: float
    at_most: float


def counted_share(events: int, trials: int, confidence: float, weight: float = 1.0) -> Share:
    """Return the share with its one-sided limits, each of which holds with the confidence.

    Args:
        events: how often it happened.
        trials: of how many times, 1 at least.
        confidence: between 0 and 1.
        weight: how many independent trials one trial is worth, 1 at most: limits are those of
            `trials * weight`.
    """
    independent = math.floor(trials * weight)
    return Share(
        events=events,
        trials=trials,
        at_least=lower_limit(math.floor(events * weight), independent, confidence),
        at_most=upper_limit(math.ceil(events * weight), independent, confidence),
    )


def upper_limit(events: int, trials: int, confidence: float) -> float:
    """Return the probability that so few events, or fewer, refute with the confidence.

    One-sided, exact (Clopper and Pearson 1934): the p for which at most `events` of `trials` happen with a
    probability of 1 - confidence. 1 where everything happened, and where there was no trial.
    """
    if events >= trials:
        return 1.0
    return _beta_quantile(confidence, events + 1, trials - events)


def lower_limit(events: int, trials: int, confidence: float) -> float:
    """Return the probability that so many events, or more, refute with the confidence; see `upper_limit`."""
    if events <= 0 or trials <= 0:
        return 0.0
    return _beta_quantile(1 - confidence, min(events, trials), trials - min(events, trials) + 1)


def trials_needed(rate: float, confidence: float) -> int:
    """Return how many trials without any event show that its probability is at most `rate`.

    At 95 % confidence that is about 3 / rate, the rule of three.
    """
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate))


def events_allowed(trials: int, rate: float, confidence: float) -> int | None:
    """Return the most events of `trials` whose upper limit is at most `rate`; None if even 0 has a larger."""
    # The limit of as many events as the rate says is above the rate.
    low, high = -1, math.ceil(trials * rate)
    while high - low > 1:
        middle = (low + high) // 2
        # As `upper_limit(middle, trials, confidence) <= rate`, which would be slower to find.
        if regularised_incomplete_beta(rate, middle + 1, trials - middle) >= confidence:
            low = middle
        else:
            high = middle
    return None if low < 0 else low


def _beta_quantile(probability: float, a: float, b: float) -> float:
    """Return x with I_x(a, b) = probability, by bisection down to neighbouring floats."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if regularised_incomplete_beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return high


def regularised_incomplete_beta(x: float, a: float, b: float) -> float:
    """Return I_x(a, b), the distribution function of the beta distribution, for a and b above 0.

    By its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22), evaluated by
    Lentz's method as modified by Thompson and Barnett (1986).
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    # The fraction converges fast below the mean only; above it, the mirrored function is taken.
    if x > (a + 1) / (a + b + 2):
        return 1 - regularised_incomplete_beta(1 - x, b, a)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(logarithm) / (a * _fraction(x, a, b))


def _fraction(x: float, a: float, b: float) -> float:
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, _TERMS):
        m, odd = divmod(term, 2)
        if odd:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + step * d or _TINY)
        c = 1 + step / c or _TINY
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            return value
    raise ArithmeticError(f"the incomplete beta function of x={x}, a={a}, b={b} does not converge")
