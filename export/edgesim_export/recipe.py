"""Recipes: what becomes of a float encoder, and what the result must reach, as data (`recipes/*.toml`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib import resources
from typing import Any

from edgesim.engines import ENGINES
from edgesim.errors import UsageError
from edgesim.settings import build, check_known, read_named, shipped_names

FORMATS = ("onnx", "tflite")
_FOLDER = resources.files("edgesim_export") / "recipes"
# Fewer arrays than this do not show what range the activations take. Our choice.
MIN_CALIBRATION_IMAGES = 8
# The recipe of a format for which none is named. Ranges by percentile: docs/decisions.md.
_DEFAULT = "static_w8a8_pc_p9999"


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateLimits:
    """What an exported model must reach.

    Attributes:
        max_bytes: the model file must be smaller than this.
        cosine_mean_min: least mean cosine between the embeddings of held-out pictures by float and int8.
        cosine_worst_min: least cosine of any of them.
        recall_at_1_loss_max: most points (hundredths) of recall@1 that int8 may lose.
        float_ops_allowed: types of operators that may stay in float; `*` for all.
    """

    max_bytes: int
    cosine_mean_min: float
    cosine_worst_min: float
    recall_at_1_loss_max: float
    float_ops_allowed: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to make a model file, completely.

    Attributes:
        name: the file's name without `.toml`.
        format: `onnx` or `tflite`.
        weights: `float32`; `float16`, for TFLite; or `int8`, symmetric.
        activations: `int8` or, for ONNX, `uint8`, asymmetric, with ranges found by calibration;
            `dynamic_int8`, for TFLite, with ranges that the engine finds for each picture; or `float32`.
        granularity: one weight scale for each output channel, `per_channel`, or for each layer, `per_tensor`.
        reduce_range: use 7 of the 8 bits of the weights; ONNX only.
        rounding: of the weights: `nearest`, or `gptq`, see `edgesim_export.weights`.
        calibration: how the range of an activation is found: `min_max` or `percentile`, over all calibration
            images; see `edgesim_export.ranges`.
        percentile: how many of 100 values of an activation its range holds.
        gelu_input_min: ranges of inputs of GELU are cut off here; below -3 all of them give nearly 0.
        keep_float: layers and types of operators that stay in float; see `edgesim_export.layers`.
        engines: those that compute it right; empty for all that run the format.
        calibration_images: how many images calibrate; the gates are measured on as many others.
        gates: what the result must reach.
    """

    name: str
    format: str
    weights: str
    activations: str
    granularity: str = ""
    reduce_range: bool = False
    rounding: str = ""
    calibration: str = ""
    percentile: float = 100.0
    gelu_input_min: float = 0.0
    keep_float: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    calibration_images: int
    gates: GateLimits

    @property
    def mode(self) -> str:
        """What is quantised, a key of `_KEYS`: `float`, `weights`, `dynamic` or `static`."""
        if self.weights != "int8":
            return "float"
        return {"float32": "weights", "dynamic_int8": "dynamic"}.get(self.activations, "static")

    def computed_right_by(self, engine: str) -> bool:
        """Return whether an engine that runs the format computes it right."""
        return not self.engines or engine in self.engines

    @property
    def weight_levels(self) -> int:
        """The largest integer that a weight may become."""
        return 64 if self.reduce_range else 127

    @property
    def description(self) -> str:
        """What it does to a model, in a line."""
        if self.mode == "float":
            return f"{self.weights} weights"
        bits = ", 7 bits used" if self.reduce_range else ""
        weights = f"{self.weights} weights {self.granularity.replace('_', ' ')}, {self.rounding}{bits}"
        activations = f"{self.activations.removeprefix('dynamic_')} activations"
        if self.calibration == "percentile":
            activations += f", percentile {self.percentile:g}"
        kept = f"; in float: {', '.join(self.keep_float)}" if self.keep_float else ""
        return f"{self.mode}: {weights}; {activations}{kept}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the keys that have no meaning for it."""
        values = {key: value for key, value in dataclasses.asdict(self).items() if key in _used_keys(self)}
        values["gates"]["float_ops_allowed"] = list(self.gates.float_ops_allowed)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


_CHOICES: dict[str, tuple[str, ...]] = {
    "format": FORMATS,
    "weights": ("int8", "float16", "float32"),
    "activations": ("int8", "uint8", "dynamic_int8", "float32"),
    "granularity": ("per_channel", "per_tensor"),
    "rounding": ("gptq", "nearest"),
    "calibration": ("min_max", "percentile"),
    "engines": tuple(ENGINES),
}
# Which keys each mode takes, beside those that every recipe has; all but `keep_float` must be there.
_WEIGHT_KEYS = ("granularity", "rounding", "keep_float")
_KEYS = {
    "float": (),
    "weights": _WEIGHT_KEYS,
    "dynamic": _WEIGHT_KEYS,
    "static": (*_WEIGHT_KEYS, "reduce_range", "calibration", "gelu_input_min"),
}
_COMMON = ("name", "format", "weights", "activations", "engines", "calibration_images", "gates")
# What each format's converter can do.
_ACTIVATIONS = {"onnx": ("int8", "uint8", "float32"), "tflite": ("int8", "dynamic_int8", "float32")}


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
    _check_values(recipe, values, file)
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
    return {name: chosen.get(name) or load_recipe(f"{name}_{_DEFAULT}") for name in formats}


def _used_keys(recipe: Recipe) -> tuple[str, ...]:
    percentile = ("percentile",) if recipe.calibration == "percentile" else ()
    return (*_COMMON, *_KEYS[recipe.mode], *percentile)


def _check_values(recipe: Recipe, values: dict[str, Any], file: str) -> None:
    _check_formats(recipe, file)
    used = _used_keys(recipe)
    what = f"weights = {recipe.weights!r} and activations = {recipe.activations!r}"
    for key in used:
        if key not in (*values, "name", "keep_float", "engines"):
            raise UsageError(f"{file}: lacks the key {key!r}, which {what} needs")
    for key in values:
        if key not in used:
            raise UsageError(f"{file}: the key {key!r} has no meaning with {what}; leave it out")
    for key, choices in _CHOICES.items():
        value = getattr(recipe, key)
        if key in values:
            check_known(value if isinstance(value, tuple) else [value], choices, f"{file}: {key}")
    if recipe.calibration_images < MIN_CALIBRATION_IMAGES:
        raise UsageError(
            f"{file}: calibration_images: {MIN_CALIBRATION_IMAGES} at least, got {recipe.calibration_images}"
        )
    # Half of the values or less would be no range of the activation any more.
    if not 50 < recipe.percentile <= 100:
        raise UsageError(
            f"{file}: percentile: expected more than 50 and 100 at most, got {recipe.percentile:g}"
        )


def _check_formats(recipe: Recipe, file: str) -> None:
    for key in ("format", "weights", "activations"):
        check_known([getattr(recipe, key)], _CHOICES[key], f"{file}: {key}")
    if recipe.weights != "int8" and recipe.activations != "float32":
        raise UsageError(f"{file}: weights = {recipe.weights!r} goes with activations = 'float32' only")
    if recipe.format == "tflite" and recipe.reduce_range:
        raise UsageError(f"{file}: tflite takes reduce_range = false only")
    if recipe.activations not in _ACTIVATIONS[recipe.format]:
        raise UsageError(
            f"{file}: {recipe.format} takes activations of {', '.join(_ACTIVATIONS[recipe.format])} only, "
            f"got {recipe.activations!r}"
        )
    if recipe.weights == "float16" and recipe.format == "onnx":
        raise UsageError(f"{file}: onnx takes weights of int8 or float32 only, got 'float16'")
    for engine in recipe.engines:
        if engine in ENGINES and ENGINES[engine].model_format != recipe.format:
            raise UsageError(f"{file}: engines: {engine} does not run {recipe.format}")
