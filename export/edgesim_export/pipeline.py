"""From a checkpoint to a bundle: calibrate, convert, measure, and write only what passed.

checkpoint -> float graph -> int8 model -> Embedder (the device's code) -> gates -> bundle
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim import __version__
from edgesim.bundle import GOLDEN, MANIFEST, MODEL_FILES, Bundle, write_bundle
from edgesim.errors import BundleError, UsageError
from edgesim.model_spec import PREPROCESS_VERSION, ModelSpec
from edgesim.models.cost import parameter_count
from edgesim.models.encoder import Encoder, for_export
from edgesim.preprocess import normalise
from edgesim.profiles import DeviceProfile
from edgesim.training.checkpoint import load_encoder, weights_sha256
from edgesim_export.calibration import CalibrationData, find_source, prepare
from edgesim_export.converted import ConvertedModel
from edgesim_export.model_card import CARD, model_card
from edgesim_export.proof import Proof, prove
from edgesim_export.recipe import Recipe, select_recipes
from edgesim_export.weights import round_weights

Converter = Callable[[Encoder, NDArray[np.float32], Recipe], ConvertedModel]
Progress = Callable[[str], None]

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MADE_WITH = {
    "onnx": ("onnx", "onnxruntime"),
    "tflite": ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What to export, and how.

    Attributes:
        checkpoint: `encoder.pt`, or the run folder that holds it.
        out: folder of the bundle; must not exist, unless `overwrite` is given and it holds a bundle.
        formats: of `onnx` and `tflite`.
        recipes: names or files; by default each format's own.
        profile: the device; it must run every format, and may set a tighter limit to the files' size.
        calibration: folder of images; see `edgesim_export.calibration.find_source`.
        name: the encoder's name in the bundle; by default the one it was trained under. Part of its identity.
        overwrite: replace the bundle at `out`.
    """

    checkpoint: Path
    out: Path
    formats: tuple[str, ...]
    recipes: tuple[str, ...] = ()
    profile: DeviceProfile | None = None
    calibration: Path | None = None
    name: str | None = None
    overwrite: bool = False

    @property
    def run(self) -> Path:
        """The folder that the checkpoint lies in."""
        return self.checkpoint if self.checkpoint.is_dir() else self.checkpoint.parent


def export_bundle(request: ExportRequest, progress: Progress = lambda step: None) -> Bundle:
    """Make the int8 models of an encoder, check them against it, and write the bundle.

    Args:
        request: what to export.
        progress: is told what begins.

    Raises:
        GatesFailedError: a model is not good enough; nothing was written.
        UsageError, InputError, BundleError, MissingDependencyError, StorageError: as their classes say.
        ModuleNotFoundError: a converter is not installed.
    """
    recipes = _recipes(request)
    encoder, spec = _load(request)
    progress("choosing calibration images")
    count = max(recipe.calibration_images for recipe in recipes.values())
    data = prepare(find_source(request.calibration, request.run, spec.input_size), spec.input_size, count)
    models = _convert(encoder, spec, recipes, data, progress)
    progress("measuring")
    proof = prove(encoder, spec, models, recipes, data)
    return _write(request, encoder, spec, models, recipes, data, proof)


def _recipes(request: ExportRequest) -> dict[str, Recipe]:
    """Return the recipe of each format; refuse what can be refused before any work is done."""
    out, profile = request.out, request.profile
    if out.exists() and not (request.overwrite and (out / MANIFEST).exists()):
        raise BundleError(f"{out}: already exists; choose another folder or pass --overwrite")
    recipes = select_recipes(request.formats, request.recipes)
    if profile is None:
        return recipes
    return {key: _for_profile(recipe, profile) for key, recipe in recipes.items()}


def _for_profile(recipe: Recipe, profile: DeviceProfile) -> Recipe:
    """Return the recipe with the profile's limit to the file size, where that is tighter."""
    if recipe.format not in profile.formats:
        raise UsageError(
            f"profile {profile.name} runs {', '.join(profile.engines)}: no engine for {recipe.format}; "
            f"use --format {profile.formats[0]}"
        )
    limit = min(recipe.gates.max_bytes, profile.model_bytes_max)
    return dataclasses.replace(recipe, gates=dataclasses.replace(recipe.gates, max_bytes=limit))


def _load(request: ExportRequest) -> tuple[Encoder, ModelSpec]:
    if request.name is not None and not _NAME.fullmatch(request.name):
        raise UsageError(f"--name: expected letters, digits, '.', '_' and '-', got {request.name!r}")
    encoder, spec = load_encoder(request.checkpoint)
    if spec.preprocess_version != PREPROCESS_VERSION:
        raise BundleError(
            f"{request.checkpoint}: trained with preprocessing version {spec.preprocess_version}, this "
            f"edgesim has version {PREPROCESS_VERSION}; train it again"
        )
    return encoder, dataclasses.replace(spec, name=request.name or spec.name)


def _converter(format_name: str) -> Converter:
    # Imported when asked for: the converter to TFLite takes seconds to import, and has x86-64 wheels only.
    if format_name == "onnx":
        from edgesim_export.onnx_int8 import convert as convert_to_onnx

        return convert_to_onnx
    from edgesim_export.tflite_int8 import convert as convert_to_tflite

    return convert_to_tflite


def _convert(
    encoder: Encoder,
    spec: ModelSpec,
    recipes: dict[str, Recipe],
    data: CalibrationData,
    progress: Progress,
) -> dict[str, ConvertedModel]:
    progress("loading the converters")
    # All before the first conversion: a missing one is noticed before work is lost.
    converters = {key: _converter(key) for key in recipes}
    models = {}
    for key, recipe in recipes.items():
        progress(f"converting to int8 {key}")
        images = normalise(data.calibration[: recipe.calibration_images], spec)
        exported = for_export(encoder)
        if recipe.rounding == "gptq":
            round_weights(exported, images, recipe.weight_levels)
        models[key] = converters[key](exported, images, recipe)
    return models


def _write(
    request: ExportRequest,
    encoder: Encoder,
    spec: ModelSpec,
    models: dict[str, ConvertedModel],
    recipes: dict[str, Recipe],
    data: CalibrationData,
    proof: Proof,
) -> Bundle:
    encoder_id = spec.encoder_id(weights_sha256(encoder))
    card = model_card(request.run, spec, encoder_id, parameter_count(encoder), proof.gates)
    files = {MODEL_FILES[key]: model.content for key, model in models.items()}
    return write_bundle(
        request.out,
        spec=spec,
        encoder_id=encoder_id,
        models={key: _facts(key, model, recipes[key]) for key, model in models.items()},
        recipe=_provenance(request, recipes, data),
        gates=[gate.to_dict() for gate in proof.gates],
        made_by=_made_by(recipes),
        files={**files, GOLDEN: proof.golden, CARD: card.encode()},
        overwrite=request.overwrite,
    )


def _facts(format_name: str, model: ConvertedModel, recipe: Recipe) -> dict[str, Any]:
    bits = ", 7 bits used" if recipe.reduce_range else ""
    weights = f"{recipe.weights} weights {recipe.granularity.replace('_', ' ')}, {recipe.rounding}{bits}"
    return {
        "file": MODEL_FILES[format_name],
        "bytes": len(model.content),
        "quantisation": f"static: {weights}; {recipe.activations} activations",
    }


def _provenance(request: ExportRequest, recipes: dict[str, Recipe], data: CalibrationData) -> dict[str, Any]:
    return {
        "profile": request.profile.name if request.profile else None,
        "recipes": {key: recipe.to_dict() for key, recipe in recipes.items()},
        "calibration": data.summary(),
    }


def _made_by(recipes: dict[str, Recipe]) -> dict[str, str]:
    packages = ["numpy", "pillow", "torch", *(package for key in recipes for package in _MADE_WITH[key])]
    return {"edgesim": __version__, **{package: metadata.version(package) for package in packages}}
