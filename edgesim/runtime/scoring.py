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


def read_scoring(index: Index, value: dict[str, Any]) -> Scoring:
    """Decode what the setting of an index holds; raises `IndexStoreError` if it is damaged."""
    try:
        if value["encoder_id"] != index.facts.encoder_id:
            raise ValueError(f"made for the encoder {value['encoder_id']}")
        stored, background = value["background"], None
        if stored is not None:
            dim = index.facts.spec.embedding_dim
            background = Background.load(index.folder, stored["file"], stored["sha256"], dim)
        thresholds = value["thresholds"]
        return Scoring(
            entries=int(value["entries"]),
            calibration=None if thresholds is None else Calibration.from_dict(thresholds),
            background=background,
        )
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise _damaged(index.folder, error) from error


def _damaged(folder: Path, error: Exception) -> IndexStoreError:
    return IndexStoreError(
        f"{folder}: its calibration is damaged ({error}); make it again with: edgesim calibrate {folder}"
    )


def background_damage(folder: Path, settings: Mapping[str, str]) -> str | None:
    """Return in a line what is wrong with an index's background and its setting, None if nothing is.

    Args:
        folder: of the index.
        settings: name -> JSON text, as the index keeps them.
    """
    try:
        _background_file(folder, settings)
    except IndexStoreError as error:
        return str(error).removeprefix(f"{folder}/").removeprefix(f"{folder}: ")
    return None


def rescue_background(folder: Path, out: Path, settings: dict[str, str]) -> bool:
    """Copy the background's file into the folder of another index that is to have the same settings.

    If it or its setting is damaged the calibration, which means nothing without it, is taken out of the
    settings, and False returned. Raises `StorageError`.
    """
    try:
        file = _background_file(folder, settings)
    except IndexStoreError:
        del settings[SETTING]
        return False
    if file is not None:
        name, content = file
        write_atomic(out / name, content)
    return True


def _background_file(folder: Path, settings: Mapping[str, str]) -> tuple[str, bytes] | None:
    """Return name and content of the background's file, None if there is to be none.

    Raises `IndexStoreError` if the file or the setting is damaged.
    """
    try:
        value = json.loads(settings.get(SETTING, "null"))
        if value is None or value["background"] is None:
            return None
        name: str = value["background"]["file"]
        return name, read_background(folder, name, value["background"]["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error
