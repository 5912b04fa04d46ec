"""Recipes: how a float encoder becomes int8, and what the result must reach, as data (`recipes/*.toml`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib import resources
from typing import Any

from edgesim.errors import UsageError
from edgesim.settings import build, check_known, read_named, shipped_names

FORMATS = ("onnx", "tflite")
_FOLDER = resources.files("edgesim_export") / "recipes"
# Fewer arrays than this do not show what range the activations take. Our choice.
MIN_CALIBRATION_IMAGES = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateLimits:
    """What an exported model must reach.

    Attributes:
        max_bytes: the model file must be smaller than this.
        cosine_mean_min: least mean cosine between the embeddings of held-out pictures by float and int8.
        cosine_worst_min: least cosine of any of them.
        recall_at_1_loss_max: most points (hundredths) of recall@1 that int8 may lose.
        float_ops_allowed: types of operators that may stay in float.
    """

    max_bytes: int
    cosine_mean_min: float
    cosine_worst_min: float
    recall_at_1_loss_max: float
    float_ops_allowed: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to quantise, completely.

    Attributes:
        name: the file's name without `.toml`.
        format: `onnx` or `tflite`.
        weights: `int8`, symmetric.
        activations: `int8` or, for ONNX, `uint8`; asymmetric.
        granularity: one weight scale for each output channel: `per_channel`.
        reduce_range: use 7 of the 8 bits of the weights; ONNX only.
        rounding: of the weights: `nearest`, or `gptq`, see `edgesim_export.weights`.
        calibration: how the range of an activation is found: `min_max`, over all calibration images.
        gelu_input_min: ranges of inputs of GELU are cut off here; below -3 all of them give nearly 0.
        calibration_images: how many images calibrate; the gates are measured on as many others.
        gates: what the result must reach.
    """

    name: str
    format: str
    weights: str
    activations: str
    granularity: str
    reduce_range: bool
    rounding: str
    calibration: str
    gelu_input_min: float
    calibration_images: int
    gates: GateLimits

    @property
    def weight_levels(self) -> int:
        """The largest integer that a weight may become."""
        return 64 if self.reduce_range else 127

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        values = dataclasses.asdict(self)
        values["gates"]["float_ops_allowed"] = list(self.gates.float_ops_allowed)
        return values


_CHOICES: dict[str, tuple[str, ...]] = {
    "format": FORMATS,
    "weights": ("int8",),
    "activations": ("int8", "uint8"),
    "granularity": ("per_channel",),
    "rounding": ("gptq", "nearest"),
    "calibration": ("min_max",),
}


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with edgesim, sorted."""
    return shipped_names(_FOLDER)


def load_recipe(name_or_path: str) -> Recipe:
    """Return one of the recipes of `recipe_names`, or the one in a TOML file of the user's own.

    Args:
        name_or_path: a name, or a path: what ends in `.toml` or holds a path separator.

    Raises:
        UsageError: unknown name, no such file, or a file that does not follow the schema.
    """
    name, file, values = read_named("recipe", name_or_path, _FOLDER)
    recipe = build(Recipe, values, file, name=name)
    _check_values(recipe, file)
    return recipe


def select_recipes(formats: Sequence[str], names: Sequence[str]) -> dict[str, Recipe]:
    """Return format -> recipe: those named, and the default of each format for which none is named.

    Raises:
        UsageError: a recipe of a format that is not exported, or two of one format.
    """
    chosen: dict[str, Recipe] = {}
    for name in names:
        recipe = load_recipe(name)
        if recipe.format not in formats:
            raise UsageError(f"recipe {name} makes {recipe.format}, but --format is {', '.join(formats)}")
        if recipe.format in chosen:
            raise UsageError(f"two recipes for {recipe.format}: {chosen[recipe.format].name} and {name}")
        chosen[recipe.format] = recipe
    return {name: chosen.get(name) or load_recipe(f"{name}_static_w8a8_pc") for name in formats}


def _check_values(recipe: Recipe, file: str) -> None:
    for key, choices in _CHOICES.items():
        check_known([getattr(recipe, key)], choices, f"{file}: {key}")
    if recipe.calibration_images < MIN_CALIBRATION_IMAGES:
        raise UsageError(
            f"{file}: calibration_images: {MIN_CALIBRATION_IMAGES} at least, got {recipe.calibration_images}"
        )
    if recipe.format == "tflite" and (recipe.reduce_range or recipe.activations != "int8"):
        raise UsageError(f"{file}: tflite takes activations = 'int8' and reduce_range = false only")
