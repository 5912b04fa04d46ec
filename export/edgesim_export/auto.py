"""`--recipe auto`: try the recipes that a device could run, and measure each by the device's own code."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.engines import ENGINES
from edgesim.errors import MissingDependencyError
from edgesim.model_spec import ModelSpec
from edgesim.profiles import DeviceProfile
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.engines import available_engines
from edgesim_export.calibration import CalibrationData
from edgesim_export.candidates import ROUNDS, Candidate, choose, formats_of
from edgesim_export.conversion import Conversions
from edgesim_export.converted import ConvertedModel
from edgesim_export.proof import embed_held_out, stage
from edgesim_export.recipe import Recipe, load_recipe, recipe_names
from edgesim_export.validate import Embeddings, Gate, measure

AUTO = "auto"
_WARM_UP = 3


def candidates(formats: Sequence[str], profile: DeviceProfile | None) -> list[Recipe]:
    """Return the shipped recipes of these formats that every engine of the device computes right.

    Raises:
        MissingDependencyError: no engine for a format is installed to measure with.
    """
    recipes = [recipe for recipe in map(load_recipe, recipe_names()) if recipe.format in formats]
    for name in formats:
        installed_engines(name, profile)
    return [recipe for recipe in recipes if profile is None or runs_everywhere(recipe, profile)]


def runs_everywhere(recipe: Recipe, profile: DeviceProfile) -> bool:
    """Return whether all engines of a device that run the recipe's format also compute it right."""
    engines = [name for name in profile.engines if ENGINES[name].model_format == recipe.format]
    return all(map(recipe.computed_right_by, engines))


def installed_engines(model_format: str, profile: DeviceProfile | None) -> list[str]:
    """Return the engines for a format that are installed here, the device's preferred one first.

    Raises:
        MissingDependencyError: there is none.
    """
    wanted = [
        name
        for name in (profile.engines if profile else ENGINES)
        if ENGINES[name].model_format == model_format
    ]
    found = [name for name in wanted if name in available_engines()]
    if not found:
        whose = f"profile {profile.name} runs" if profile else "edgesim knows"
        raise MissingDependencyError(
            f"no engine is installed to measure with, of those for {model_format} that {whose}: "
            f"{', '.join(wanted)}. Run: {ENGINES[wanted[0]].cure}"
        )
    return found


def try_recipes(
    conversions: Conversions,
    spec: ModelSpec,
    recipes: Sequence[Recipe],
    profile: DeviceProfile | None,
    expected: Embeddings,
    data: CalibrationData,
    progress: Callable[[str], None],
) -> list[Candidate]:
    """Convert by every recipe and measure what comes out; one of each format is picked.

    Args:
        conversions: of the encoder.
        spec: of the encoder.
        recipes: from `candidates`.
        profile: the device, if one is known.
        expected: from `edgesim_export.proof.embed_float`.
        data: the images.
        progress: is told what begins.
    """
    with contextlib.ExitStack() as stack:
        embedders, gates = [], []
        for recipe in recipes:
            progress(f"trying {recipe.name}")
            model = conversions.convert(recipe)
            engines = filter(recipe.computed_right_by, installed_engines(recipe.format, profile))
            trials = [stack.enter_context(opened(spec, recipe.format, model, engine)) for engine in engines]
            embedders.append(trials[0])
            gates.append(_worst(recipe, model, trials, expected, data))
        progress("timing")
        times = interleaved_times(embedders, data.references[:1])
    found = [
        Candidate(recipe=recipe, engine=embedder.engine, milliseconds=1000 * seconds, gates=measured)
        for recipe, embedder, seconds, measured in zip(recipes, embedders, times, gates, strict=True)
    ]
    picks = [choose([c for c in found if c.recipe.format == key]) for key in formats_of(found)]
    return [dataclasses.replace(candidate, picked=candidate in picks) for candidate in found]


@contextlib.contextmanager
def opened(spec: ModelSpec, model_format: str, model: ConvertedModel, engine: str) -> Iterator[Embedder]:
    """Load a model file by the device's own code."""
    with tempfile.TemporaryDirectory(prefix="edgesim-export-") as folder:
        yield Embedder(stage(Path(folder) / "bundle", spec, {model_format: model}), engine)


def _worst(
    recipe: Recipe,
    model: ConvertedModel,
    trials: Sequence[Embedder],
    expected: Embeddings,
    data: CalibrationData,
) -> list[Gate]:
    """Return the gates by the engine that is farthest from the float encoder."""
    measured = [
        measure(recipe.format, model, recipe.gates, expected, embed_held_out(trial, data), data.truth)
        for trial in trials
    ]
    return min(
        measured, key=lambda gates: next(float(g.value or 0) for g in gates if g.gate == "cosine_mean")
    )


def interleaved_times(embedders: Sequence[Embedder], pixels: NDArray[np.uint8]) -> list[float]:
    """Return the median CPU seconds of embedding some pixels, all embedders taking turns."""
    times: list[list[float]] = [[] for _ in embedders]
    for turn in range(_WARM_UP + ROUNDS):
        for embedder, taken in zip(embedders, times, strict=True):
            start = time.thread_time()
            embedder.embed_pixels(pixels)
            if turn >= _WARM_UP:
                taken.append(time.thread_time() - start)
    return [statistics.median(taken) for taken in times]
