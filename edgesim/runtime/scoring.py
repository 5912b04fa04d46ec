"""How an index's scores are made and what they mean: its background and its thresholds, as it keeps them.

    setting `calibration`   encoder_id, entries, thresholds (`Calibration.to_dict`, or null),
                            background (file, sha256, images; or null)

Both change together, in one commit: thresholds hold for the scores that they were made from.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import IndexStoreError, UsageError
from edgesim.files import write_atomic
from edgesim.runtime.entry import one_line
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.index import Index
from edgesim.runtime.match import Match
from edgesim.runtime.normalisation import Background, delete_backgrounds, read_background
from edgesim.runtime.stored_scoring import SETTING
from edgesim.thresholds import Calibration


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scoring:
    """What an index knows about its scores.

    Attributes:
        entries: how many it had when this was made.
        calibration: thresholds, None if there are none.
        background: by which scores are normalised, None for plain similarities.
    """

    entries: int
    calibration: Calibration | None = None
    background: Background | None = None

    def offsets(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return by how much the similarities of each query (Q, D) exceed its scores, (Q,)."""
        if self.background is None:
            return np.zeros(len(queries))
        return self.background.similarity(queries).astype(np.float64)

    def judge(self, query: NDArray[np.float32], matches: Sequence[Match]) -> list[Match]:
        """Return the matches of a query (D,) with their scores and, where there are thresholds, verdicts."""
        offset = float(self.offsets(query[None])[0])
        thresholds = None if self.calibration is None else self.calibration.thresholds
        judged = []
        for match in matches:
            score = match.similarity - offset
            verdict = None if thresholds is None else thresholds.verdict(score)
            judged.append(dataclasses.replace(match, score=score, verdict=verdict))
        return judged


def store_scoring(index: Index, scoring: Scoring | None) -> None:
    """Let the index keep this, in place of what it had; None forgets thresholds and background.

    Raises `StorageError` when the disk is full, read-only or failing.
    """
    background, value = None, None
    if scoring is not None:
        if scoring.background is not None:
            name, digest = scoring.background.save(index.folder)
            background = {"file": name, "sha256": digest, "images": len(scoring.background.vectors)}
        calibration = None if scoring.calibration is None else scoring.calibration.to_dict()
        value = {
            "encoder_id": index.facts.encoder_id,
            "entries": scoring.entries,
            "thresholds": calibration,
            "background": background,
        }
    index.set_setting(SETTING, value)
    delete_backgrounds(index.folder, None if background is None else str(background["file"]))


def read_scoring(folder: Path, facts: IndexFacts, value: Any) -> Scoring:
    """Decode what the setting of an index holds; raises `IndexStoreError` if that or its file is damaged."""
    try:
        if value["encoder_id"] != facts.encoder_id:
            raise ValueError(f"made for the encoder {value['encoder_id']}")
        stored, background = value["background"], None
        if stored is not None:
            dim = facts.spec.embedding_dim
            background = Background.load(folder, stored["file"], stored["sha256"], dim)
        entries, thresholds = value["entries"], value["thresholds"]
        if not isinstance(entries, int):
            raise TypeError(f"entries: expected a whole number, got {type(entries).__name__}")
        return Scoring(
            entries=entries,
            calibration=None if thresholds is None else Calibration.from_dict(thresholds),
            background=background,
        )
    except (KeyError, TypeError, ValueError, OverflowError, UsageError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> IndexStoreError:
    return IndexStoreError(
        f"{folder}: its calibration is damaged ({one_line(error)}); make it again with: "
        f"edgesim calibrate {folder}"
    )


def scoring_damage(folder: Path, facts: IndexFacts, settings: Mapping[str, str]) -> str | None:
    """Return in a line what is wrong with an index's calibration or its background, None if nothing is.

    Args:
        folder: of the index.
        facts: of the index.
        settings: name -> JSON text, as the index keeps them.
    """
    try:
        _checked_value(folder, facts, settings)
    except IndexStoreError as error:
        return str(error).removeprefix(f"{folder}/").removeprefix(f"{folder}: ")
    return None


def rescue_scoring(folder: Path, facts: IndexFacts, out: Path, settings: dict[str, str]) -> bool:
    """Copy the background's file into the folder of another index that is to have the same settings.

    If it or the calibration, which means nothing without it, is damaged, that is taken out of the settings,
    and False returned. Raises `StorageError`.
    """
    try:
        value = _checked_value(folder, facts, settings)
        if value is None or value["background"] is None:
            return True
        name: str = value["background"]["file"]
        content = read_background(folder, name, value["background"]["sha256"])
    except IndexStoreError:
        del settings[SETTING]
        return False
    write_atomic(out / Path(name).name, content)
    return True


def _checked_value(folder: Path, facts: IndexFacts, settings: Mapping[str, str]) -> Any | None:
    """Return the setting, which `read_scoring` can decode; None if there is none."""
    try:
        value = json.loads(settings.get(SETTING, "null"))
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, error) from error
    if value is not None:
        read_scoring(folder, facts, value)
    return value
