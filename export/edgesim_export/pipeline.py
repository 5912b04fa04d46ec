"""From a checkpoint to a bundle: calibrate, convert, measure, and write only what passed.

checkpoint -> float graph -> int8 model -> Embedder (the device's code) -> gates -> bundle
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgesim import __version__
from edgesim.bundle import GOLDEN, MANIFEST, MODEL_FILES, Bundle, golden_bytes, write_bundle
from edgesim.errors import BundleError, MissingDependencyError, UsageError
from edgesim.model_spec import PREPROCESS_VERSION, ModelSpec
from edgesim.models.encoder import CompactEncoder, embed_batches, for_export, parameter_count
from edgesim.preprocess import Pixels, normalise
from edgesim.profiles import DeviceProfile
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.engines import available_engines, model_format
from edgesim.training.checkpoint import load_encoder, weights_sha256
from edgesim_export.calibration import CalibrationData, find_source, prepare
from edgesim_export.converted import ConvertedModel
from edgesim_export.golden import golden_images
from edgesim_export.model_card import CARD, model_card
from edgesim_export.recipe import Recipe, select_recipes
from edgesim_export.validate import Embeddings, Gate, check, measure
from edgesim_export.weights import round_weights

Converter = Callable[[CompactEncoder, NDArray[np.float32], Recipe], ConvertedModel]

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MADE_WITH = {
    "onnx": ("onnx", "onnxruntime"),
    "tflite": ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
}


def export_bundle(
    checkpoint: Path,
    out: Path,
    *,
    formats: Sequence[str],
    recipes: Sequence[str] = (),
    profile: DeviceProfile | None = None,
    calibration: Path | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> Bundle:
    """Make the int8 models of an encoder, check them against it, and write the bundle.

    Args:
        checkpoint: `encoder.pt`, or the run folder that holds it.
        out: folder of the bundle; must not exist, unless `overwrite` is given and it holds a bundle.
        formats: of `onnx` and `tflite`.
        recipes: names or files; by default each format's own.
        profile: the device; it must run every format, and may set a tighter limit to the files' size.
        calibration: folder of images; see `edgesim_export.calibration.find_source`.
        name: the encoder's name in the bundle; by default the one it was trained under. Part of its identity.
        overwrite: replace the bundle at `out`.
        progress: is told what begins.

    Raises:
        GatesFailedError: a model is not good enough; nothing was written.
        UsageError, InputError, BundleError, MissingDependencyError, StorageError: as their classes say.
        ModuleNotFoundError: a converter is not installed.
    """
    if out.exists() and not (overwrite and (out / MANIFEST).exists()):
        raise BundleError(f"{out}: already exists; choose another folder or pass --overwrite")
    chosen = select_recipes(formats, recipes)
    if profile is not None:
        chosen = {key: _for_profile(recipe, profile) for key, recipe in chosen.items()}
    encoder, spec = _load(checkpoint, name)
    run = checkpoint if checkpoint.is_dir() else checkpoint.parent
    progress("choosing calibration images")
    count = max(recipe.calibration_images for recipe in chosen.values())
    data = prepare(find_source(calibration, run, spec.input_size), spec.input_size, count)
    models = _convert(encoder, spec, chosen, data, progress)
    encoder_id = spec.encoder_id(weights_sha256(encoder))
    with tempfile.TemporaryDirectory(prefix="edgesim-export-") as folder:
        staged = _stage(Path(folder) / "bundle", spec, encoder_id, models, chosen)
        progress("measuring")
        gates = _run_gates(encoder, staged, chosen, models, data)
        check(gates)
        golden = _golden(staged)
    card = model_card(run, spec, encoder_id, parameter_count(encoder), gates)
    return write_bundle(
        out,
        spec=spec,
        encoder_id=encoder_id,
        models=staged.models,
        recipe=_provenance(chosen, profile, data),
        gates=[gate.to_dict() for gate in gates],
        made_by=_made_by(chosen),
        files={**_model_files(models), GOLDEN: golden, CARD: card.encode()},
        overwrite=overwrite,
    )


def _for_profile(recipe: Recipe, profile: DeviceProfile) -> Recipe:
    """Return the recipe with the profile's limit to the file size, where that is tighter."""
    if recipe.format not in profile.formats:
        raise UsageError(
            f"profile {profile.name} runs {', '.join(profile.engines)}: no engine for {recipe.format}; "
            f"use --format {profile.formats[0]}"
        )
    limit = min(recipe.gates.max_bytes, profile.model_bytes_max)
    return dataclasses.replace(recipe, gates=dataclasses.replace(recipe.gates, max_bytes=limit))


def _load(checkpoint: Path, name: str | None) -> tuple[CompactEncoder, ModelSpec]:
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(f"--name: expected letters, digits, '.', '_' and '-', got {name!r}")
    encoder, spec = load_encoder(checkpoint)
    if spec.preprocess_version != PREPROCESS_VERSION:
        raise BundleError(
            f"{checkpoint}: trained with preprocessing version {spec.preprocess_version}, this edgesim has "
            f"version {PREPROCESS_VERSION}; train it again"
        )
    return encoder, spec if name is None else dataclasses.replace(spec, name=name)


def _converter(format_name: str) -> Converter:
    # Imported when asked for: the converter to TFLite takes seconds to import, and has x86-64 wheels only.
    if format_name == "onnx":
        from edgesim_export.onnx_int8 import convert as convert_to_onnx

        return convert_to_onnx
    from edgesim_export.tflite_int8 import convert as convert_to_tflite

    return convert_to_tflite


def _convert(
    encoder: CompactEncoder,
    spec: ModelSpec,
    recipes: dict[str, Recipe],
    data: CalibrationData,
    progress: Callable[[str], None],
) -> dict[str, ConvertedModel]:
    progress("loading the converters")
    # All before the first conversion: a missing one is noticed before minutes of work are lost.
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


def _model_files(models: dict[str, ConvertedModel]) -> dict[str, bytes]:
    return {MODEL_FILES[key]: model.content for key, model in models.items()}


def _stage(
    folder: Path,
    spec: ModelSpec,
    encoder_id: str,
    models: dict[str, ConvertedModel],
    recipes: dict[str, Recipe],
) -> Bundle:
    """Write a bundle that has all the `Embedder` needs, and no proof yet."""
    facts = {
        key: {
            "file": MODEL_FILES[key],
            "bytes": len(model.content),
            "quantisation": _quantisation(recipes[key]),
        }
        for key, model in models.items()
    }
    return write_bundle(
        folder,
        spec=spec,
        encoder_id=encoder_id,
        models=facts,
        recipe={},
        gates=[],
        made_by={},
        files=_model_files(models),
    )


def _quantisation(recipe: Recipe) -> str:
    bits = ", 7 bits used" if recipe.reduce_range else ""
    weights = f"{recipe.weights} weights {recipe.granularity.replace('_', ' ')}, {recipe.rounding}{bits}"
    return f"static: {weights}; {recipe.activations} activations"


def _run_gates(
    encoder: CompactEncoder,
    staged: Bundle,
    recipes: dict[str, Recipe],
    models: dict[str, ConvertedModel],
    data: CalibrationData,
) -> list[Gate]:
    def embed_float(pixels: Pixels) -> NDArray[np.float32]:
        images = torch.from_numpy(normalise(pixels, staged.spec)).permute(0, 3, 1, 2)
        embeddings: NDArray[np.float32] = embed_batches(encoder, images).numpy()
        return embeddings

    expected = Embeddings(references=embed_float(data.references), queries=embed_float(data.queries))
    gates = []
    for key, model in models.items():
        embedder = Embedder(staged, _engine(key))
        actual = Embeddings(
            references=embedder.embed_pixels(data.references), queries=embedder.embed_pixels(data.queries)
        )
        gates += measure(key, model, recipes[key].gates, expected, actual, data.truth)
    return gates


def _engine(format_name: str) -> str:
    engines = [engine for engine in available_engines() if model_format(engine) == format_name]
    if not engines:
        raise MissingDependencyError(
            f"no engine is installed to check the {format_name} model. Run: pip install 'edgesim[export]'"
        )
    return engines[0]


def _golden(staged: Bundle) -> bytes:
    images = golden_images()
    embeddings = {}
    for key in staged.models:
        embedder = Embedder(staged, _engine(key))
        embeddings[key] = np.stack([embedder.embed_image(image, name="golden image") for image in images])
    return golden_bytes(images, embeddings)


def _provenance(
    recipes: dict[str, Recipe], profile: DeviceProfile | None, data: CalibrationData
) -> dict[str, Any]:
    return {
        "profile": profile.name if profile else None,
        "recipes": {key: recipe.to_dict() for key, recipe in recipes.items()},
        "calibration": data.summary(),
    }


def _made_by(recipes: dict[str, Recipe]) -> dict[str, str]:
    packages = ["numpy", "pillow", "torch", *(package for key in recipes for package in _MADE_WITH[key])]
    return {"edgesim": __version__, **{package: metadata.version(package) for package in packages}}
