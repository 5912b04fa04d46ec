"""Queries whose right answer is known, and the scores that they get: what thresholds are made from."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from edgesim.calibration_page import Case
from edgesim.errors import ImageError
from edgesim.preprocess import decode_image
from edgesim.thresholds import ScoreSet

# Pixels of the shorter side that a picture for people is decoded to at least.
_SHOWN = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownAnswer:
    """One query.

    Attributes:
        score: that of the entry.
        query: what to call the query.
        entry: path of the entry: the query's match, or the best one of a query that has none.
        picture: opens the query's picture; raises `ImageError`.
    """

    score: float
    query: str
    entry: str
    picture: Callable[[], Image.Image]

    def case(self) -> Case:
        """Return it with both pictures, for a page."""
        return Case(
            score=self.score,
            query=Path(self.query).name,
            query_picture=_opened(self.picture),
            entry=Path(self.entry).name,
            entry_picture=_opened(functools.partial(open_picture, self.entry)),
        )


def open_picture(path: str) -> Image.Image:
    """Decode a picture to be shown to people; raises `ImageError`."""
    return decode_image(Path(path), min_side=_SHOWN)


def _opened(picture: Callable[[], Image.Image]) -> Image.Image | None:
    try:
        return picture()
    except ImageError:
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownAnswers:
    """All of them.

    Attributes:
        positives: queries with a match in the index.
        negatives: queries without.
        weight: how many independent queries one negative is worth, see `ScoreSet`.
        source: where they come from, for people.
        notes: what was left out and why, a sentence each.
    """

    positives: list[KnownAnswer]
    negatives: list[KnownAnswer]
    weight: float = 1.0
    source: str
    notes: tuple[str, ...] = ()

    def scores(self) -> ScoreSet:
        """Return the scores alone, in the same order."""
        return ScoreSet(
            positives=np.array([answer.score for answer in self.positives], dtype=np.float64),
            negatives=np.array([answer.score for answer in self.negatives], dtype=np.float64),
            weight=self.weight,
        )

    def hardest(self, count: int) -> tuple[list[KnownAnswer], list[KnownAnswer]]:
        """Return the positives with the lowest and the negatives with the highest scores.

        Of two images that are each other's nearest only one is returned.
        """
        positives = sorted(self.positives, key=lambda answer: answer.score)
        negatives: dict[frozenset[str], KnownAnswer] = {}
        for answer in sorted(self.negatives, key=lambda answer: -answer.score):
            negatives.setdefault(frozenset((answer.query, answer.entry)), answer)
            if len(negatives) == count:
                break
        return positives[:count], list(negatives.values())
