"""From the scores of queries with and without a match to two thresholds: match, no match, unsure.

The upper threshold keeps false alarms rare: queries whose picture is not in the index and that get an answer
nevertheless. The lower one keeps misses rare: queries whose picture is there and that get none. A score
between the two is for a person to look at.

Each is an order statistic of the scores, so that its promise holds whatever their distribution is (tolerance
limits, Wilks 1941): how many of the scores may lie on the wrong side follows from their number, the rate and
the confidence alone.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgesim.binomial import Share, counted_share, events_allowed, trials_needed
from edgesim.errors import UsageError

Verdict = Literal["match", "unsure", "no match"]
VERDICTS: tuple[Verdict, ...] = ("match", "unsure", "no match")
Scores = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aims:
    """What thresholds are to keep to.

    Attributes:
        false_alarms: share of the queries without a match that may be called a match.
        misses: share of the queries with a match that may be called no match.
        confidence: how sure both must be.

    Raises:
        UsageError: one of them is not between 0 and 1.
    """

    false_alarms: float = 0.01
    misses: float = 0.05
    confidence: float = 0.95

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 < value < 1:
                raise UsageError(
                    f"--{name.replace('_', '-')}: expected a number between 0 and 1, got {value:g}"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Two thresholds of one score, lower <= upper."""

    lower: float
    upper: float

    def verdict(self, score: float) -> Verdict:
        """Say what a score means: `match` from `upper` on, `no match` below `lower`, `unsure` between."""
        if score >= self.upper:
            return "match"
        return "unsure" if score >= self.lower else "no match"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreSet:
    """Scores that are known to be right or wrong.

    Attributes:
        positives: (P,) float64, of queries with a match, the score of that match.
        negatives: (M,) float64, of queries without one, the highest score that they get.
        weight: how many independent queries one negative is worth, 1 at most.
    """

    positives: Scores
    negatives: Scores
    weight: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """Thresholds and what is known about them.

    Attributes:
        thresholds: the two.
        aims: what they keep to.
        false_alarms: queries without a match that `upper` calls a match.
        misses: queries with a match that `lower` calls no match.
    """

    thresholds: Thresholds
    aims: Aims
    false_alarms: Share
    misses: Share

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` reads them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Read what `to_dict` returned.

        Raises `KeyError`, `TypeError`, `ValueError`, `OverflowError` or `UsageError` for anything else.
        """
        thresholds = Thresholds(**_numbers(values["thresholds"]))
        if thresholds.lower > thresholds.upper:
            raise ValueError(f"thresholds {thresholds.lower} and {thresholds.upper}")
        return cls(
            thresholds=thresholds,
            aims=Aims(**_numbers(values["aims"])),
            false_alarms=Share(**_numbers(values["false_alarms"])),
            misses=Share(**_numbers(values["misses"])),
        )


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Return an object all of whose values are numbers, or refuse it."""
    for name, value in dict(values).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
        if not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, got {value}")
    return values


def calibrate(scores: ScoreSet, aims: Aims) -> Calibration:
    """Return the thresholds that keep to the aims, and how they fare on the scores themselves.

    `upper` is the lowest threshold that so few negatives reach that their true share is at most
    `aims.false_alarms` with the confidence; `lower` is the highest below which so few positives lie. Where
    the two would cross there is nothing to be unsure about, and `lower` is `upper`.

    Raises:
        UsageError: there are too few scores for such rates; the message says how many it would take.
    """
    allowed = _allowed("false_alarms", len(scores.negatives), scores.weight, aims)
    # Scores are float32 at best, and shall be told apart as such: the next float32 above the first score that
    # must not reach the threshold.
    first_refused = np.float32(np.sort(scores.negatives)[::-1][allowed])
    upper = float(np.nextafter(first_refused, np.float32(np.inf)))
    allowed = _allowed("misses", len(scores.positives), 1.0, aims)
    lower = min(upper, float(np.sort(scores.positives)[allowed]))
    return Calibration(
        thresholds=Thresholds(lower=lower, upper=upper),
        aims=aims,
        false_alarms=counted_share(
            int((scores.negatives >= upper).sum()), len(scores.negatives), aims.confidence, scores.weight
        ),
        misses=counted_share(int((scores.positives < lower).sum()), len(scores.positives), aims.confidence),
    )


def require_scores(positives: int | None, negatives: int | None, weight: float, aims: Aims) -> None:
    """Raise `UsageError`, as `calibrate` would, if so many scores are too few; None passes over a kind."""
    if negatives is not None:
        _allowed("false_alarms", negatives, weight, aims)
    if positives is not None:
        _allowed("misses", positives, 1.0, aims)


def negatives_needed(aims: Aims, weight: float) -> int:
    """Return how many negatives of that weight it takes at least to show the rate of false alarms."""
    return math.ceil(trials_needed(aims.false_alarms, aims.confidence) / weight)


_QUERIES = {"false_alarms": "without a match", "misses": "with a match"}


def _allowed(kind: str, count: int, weight: float, aims: Aims) -> int:
    """Return how many of `count` scores may lie on the wrong side of a threshold, or refuse."""
    rate: float = getattr(aims, kind)
    allowed = events_allowed(math.floor(count * weight), rate, aims.confidence)
    if allowed is not None:
        return math.floor(allowed / weight)
    needed = math.ceil(trials_needed(rate, aims.confidence) / weight)
    option = f"--{kind.replace('_', '-')}"
    cure = _cure(math.floor(count * weight), aims.confidence, option)
    raise UsageError(
        f"{option} {rate:g}: {count:,} queries {_QUERIES[kind]} cannot show so low a rate with "
        f"{100 * aims.confidence:g} % confidence, it takes {needed:,}; {cure}"
    )


def _cure(independent: int, confidence: float, option: str) -> str:
    if independent == 0:
        return "add more"
    lowest = 1 - (1 - confidence) ** (1 / independent)
    # Rounded up to two digits, so that the rate named is one that can be had.
    digits = 1 - math.floor(math.log10(lowest))
    supported = math.ceil(lowest * 10**digits) / 10**digits
    return f"add more, or pass {option} {supported:g}" if supported < 1 else "add more"


def verdict_shares(scores: Scores, thresholds: Thresholds) -> dict[Verdict, float]:
    """Return which share of the scores gets each verdict."""
    verdicts = [thresholds.verdict(score) for score in scores.tolist()]
    return {verdict: verdicts.count(verdict) / max(1, len(verdicts)) for verdict in VERDICTS}


def roc(scores: ScoreSet) -> tuple[Scores, Scores]:
    """Return the receiver operating characteristic: shares of negatives and of positives that are accepted.

    One point for every different score as threshold, from the highest to the lowest, and (0, 0) before them;
    both (T + 1,), rising from 0 to 1.
    """
    levels = np.unique(np.concatenate([scores.positives, scores.negatives]))[::-1]
    return _reaching(scores.negatives, levels), _reaching(scores.positives, levels)


def _reaching(scores: Scores, levels: Scores) -> Scores:
    """Return the share of scores at or above each level, 0 in front of them."""
    below = np.searchsorted(np.sort(scores), levels, side="left")
    return np.concatenate([[0.0], 1 - below / len(scores)])
