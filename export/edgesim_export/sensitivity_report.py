"""The report of `edgesim export --sensitivity`: JSON for programs, an HTML page for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import StorageError, UsageError
from edgesim.model_spec import ModelSpec
from edgesim_export.calibration import CalibrationData
from edgesim_export.conversion import Conversions
from edgesim_export.recipe import Recipe
from edgesim_export.sensitivity import measure_sensitivity
from edgesim_export.sensitivity_page import sensitivity_page

NUMBERS, PAGE = "sensitivity.json", "sensitivity.html"


def check_sensitivity_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` unless the report can go into a folder: it need not exist."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--sensitivity: {folder} is not a folder")
    if (folder / NUMBERS).exists() and not overwrite:
        raise UsageError(f"--sensitivity: {folder} holds a report; choose another folder or pass --overwrite")


def write_sensitivity(
    folder: Path,
    conversions: Conversions,
    spec: ModelSpec,
    recipes: Sequence[Recipe],
    expected: NDArray[np.float32],
    data: CalibrationData,
    progress: Callable[[str], None],
) -> None:
    """Measure what each layer loses by each recipe, and write both files of the report.

    Args:
        folder: is made if need be.
        conversions: of the encoder.
        spec: of the encoder.
        recipes: one for each model file.
        expected: (R, D) embeddings of the held-out pictures by the float encoder.
        data: the images.
        progress: is told what begins.

    Raises:
        StorageError: the folder cannot be written.
    """
    found = [measure_sensitivity(conversions, spec, recipe, expected, data, progress) for recipe in recipes]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        values = {"encoder": spec.name, "models": [one.to_dict() for one in found]}
        (folder / NUMBERS).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        (folder / PAGE).write_text(sensitivity_page(spec.name, found), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror or error})") from error
