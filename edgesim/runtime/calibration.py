"""Calibrating an index: its background, known answers, thresholds, and all of it kept in the index."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgesim.calibration_page import PageFacts, calibration_page
from edgesim.errors import InputError, UsageError
from edgesim.runtime.answers_by_edits import answers_by_edits
from edgesim.runtime.answers_by_pairs import answers_by_pairs
from edgesim.runtime.known_answers import KnownAnswers
from edgesim.runtime.matcher import Matcher
from edgesim.runtime.normalisation import embed_background
from edgesim.runtime.scoring import Scoring, store_scoring
from edgesim.thresholds import Aims, calibrate

# Hard cases of each kind on a page.
_CASES = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """What calibrating an index did.

    Attributes:
        scoring: what the index keeps now.
        answers: what the thresholds were made from, None if only a background was set.
        skipped: path and reason of each image that cannot be background.
    """

    scoring: Scoring
    answers: KnownAnswers | None
    skipped: list[tuple[str, str]]


def calibrate_index(
    matcher: Matcher,
    *,
    pairs: Path | None = None,
    augment: bool = False,
    background: Path | None = None,
    aims: Aims | None = None,
    progress: bool = False,
) -> CalibrationReport:
    """Find the thresholds of an index and keep them in it, in place of those that it had.

    Args:
        matcher: the index, open for writing, and its encoder.
        pairs: CSV file of known answers, see `answers_by_pairs`.
        augment: take known answers from the index itself, see `answers_by_edits`.
        background: folder of images that no query shows, by which scores are normalised from now on; without
            it scores are plain similarities from now on.
        aims: which rates to keep to.
        progress: show a progress bar if stderr is a terminal.

    Raises:
        UsageError: nothing or two contradicting things are asked for, or there are too few known answers for
            the rates. Nothing is changed then.
        InputError: the index is empty, or something of what is given cannot be used. Nothing is changed then.
        StorageError: the disk is full or read-only.
    """
    if pairs is not None and augment:
        raise UsageError("--pairs and --augment exclude each other; name one of them")
    if pairs is None and not augment and background is None:
        raise UsageError("nothing to calibrate with; name --pairs CSV, --augment or --background FOLDER")
    index, embedder, aims = matcher.index, matcher.embedder, aims or Aims()
    entries = len(index)
    if entries == 0:
        raise InputError(f"{index.folder}: empty; add images with: edgesim index add {index.folder} PATH")
    found, skipped = None, list[tuple[str, str]]()
    if background is not None:
        found, skipped = embed_background(embedder, background, progress)
    scoring = Scoring(entries=entries, background=found)
    answers = None
    if pairs is not None:
        answers = answers_by_pairs(index, embedder, pairs, scoring, progress)
    elif augment:
        answers = answers_by_edits(index, embedder, aims, scoring, progress)
    if answers is not None:
        scoring = dataclasses.replace(scoring, calibration=calibrate(answers.scores(), aims))
    store_scoring(index, scoring)
    return CalibrationReport(scoring=scoring, answers=answers, skipped=skipped)


def report_page(report: CalibrationReport, index: str, encoder: str) -> str | None:
    """Return the page (`edgesim.calibration_page`) of a calibration, None if only a background was set.

    Args:
        report: what was done.
        index: what the page calls the index.
        encoder: name and identity of the encoder.
    """
    scoring, answers = report.scoring, report.answers
    if answers is None or scoring.calibration is None:
        return None
    facts = PageFacts(
        index=index,
        encoder=encoder,
        entries=scoring.entries,
        source=answers.source,
        background=0 if scoring.background is None else len(scoring.background.vectors),
        notes=answers.notes,
    )
    missed, alarming = ([answer.case() for answer in found] for found in answers.hardest(_CASES))
    return calibration_page(facts, answers.scores(), scoring.calibration, missed, alarming)
