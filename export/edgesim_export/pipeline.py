"""From a checkpoint to a bundle: calibrate, convert, measure, and write only what passed.

checkpoint -> float graph -> model file -> Embedder (the device's code) -> gates -> bundle
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from edgesim import __version__
from edgesim.bundle import GOLDEN, MODEL_FILES, Bundle
from edgesim.bundle_writing import write_bundle
from edgesim.errors import BundleError, UsageError
from edgesim.manifest import MANIFEST
from edgesim.model_spec import PREPROCESS_VERSION, ModelSpec
from edgesim.models.cost import layer_cost, parameter_count
from edgesim.models.encoder import Encoder, for_export
from edgesim.profiles import DeviceProfile, check_index_fits
from edgesim.training.checkpoint import load_encoder, weights_sha256
from edgesim_export.auto import candidates, runs_everywhere, try_recipes
from edgesim_export.calibration import CalibrationData, find_source, prepare
from edgesim_export.candidates import Candidate, remarks
from edgesim_export.conversion import Conversions, graph_class
from edgesim_export.converted import ConvertedModel
from edgesim_export.export_report import report_path, write_report
from edgesim_export.export_request import ExportRequest
from edgesim_export.model_card import CARD, model_card
from edgesim_export.model_metadata import model_facts, stamp
from edgesim_export.profile_gates import measure_models
from edgesim_export.proof import Proof, embed_float, prove
from edgesim_export.recipe import Recipe, select_recipes
from edgesim_export.sensitivity_report import check_sensitivity_folder, write_sensitivity
from edgesim_export.validate import Embeddings, GatesFailedError, failed

Progress = Callable[[str], None]

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MADE_WITH = {
    "onnx": ("onnx", "onnxruntime"),
    "tflite": ("litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
}


def export_bundle(request: ExportRequest, progress: Progress = lambda step: None) -> Bundle:
    """Make the model files of an encoder, check them against it, and write the bundle.

    Args:
        request: what to export.
        progress: is told what begins.

    Raises:
        GatesFailedError: a model is not good enough; nothing was written but a report.
        UsageError, InputError, BundleError, MissingDependencyError, StorageError: as their classes say.
        ModuleNotFoundError: a converter is not installed.
    """
    recipes = _recipes(request)
    encoder, spec = _load(request)
    if request.profile is not None:
        check_index_fits(request.profile, spec.embedding_dim, f"profile {request.profile.name}")
    progress("choosing calibration images")
    count = max(recipe.calibration_images for recipe in recipes)
    data = prepare(find_source(request.calibration, request.run, spec.input_size), spec.input_size, count)
    conversions = Conversions(encoder, spec, data)
    progress("loading the converters")
    # All before the first conversion: a missing one is noticed before work is lost.
    for recipe in recipes:
        graph_class(recipe.format)
    expected = embed_float(encoder, spec, data)
    tried: list[Candidate] = []
    if request.auto:
        tried = try_recipes(conversions, spec, recipes, request.profile, expected, data, progress)
        recipes = [candidate.recipe for candidate in tried if candidate.picked]
    models = _convert(conversions, recipes, progress)
    encoder_id = spec.encoder_id(weights_sha256(encoder))
    facts = model_facts(spec, encoder_id, request.author, request.licence)
    # Before the proof, so that it is of the very bytes that ship.
    models = {key: stamp(key, model, facts) for key, model in models.items()}
    if request.sensitivity is not None:
        write_sensitivity(
            request.sensitivity, conversions, spec, recipes, expected.references, data, progress
        )
    chosen = {recipe.format: recipe for recipe in recipes}
    proof = _prove(request, spec, models, chosen, expected, data, progress)
    provenance = _provenance(request, chosen, data, tried)
    if failed(proof.gates) and not request.force:
        asked = {"request": request.to_dict(), "recipe": provenance, "made_by": _made_by(chosen)}
        report = write_report(request.out, proof.gates, asked)
        raise GatesFailedError(proof.gates, report, provenance.get("auto"))
    bundle = _write(request, encoder, spec, encoder_id, models, chosen, provenance, proof)
    # Of an earlier attempt: it would speak against the bundle that stands now.
    report_path(request.out).unlink(missing_ok=True)
    return bundle


def _prove(
    request: ExportRequest,
    spec: ModelSpec,
    models: dict[str, ConvertedModel],
    recipes: dict[str, Recipe],
    expected: Embeddings,
    data: CalibrationData,
    progress: Progress,
) -> Proof:
    progress("measuring")
    proof = prove(spec, models, recipes, expected, data)
    if request.profile is None:
        return proof
    progress(f"measuring against {request.profile.name}, with {request.profile.index_entries} entries")
    gates = measure_models(spec, models, request.profile, check_wheels=request.check_wheels)
    return dataclasses.replace(proof, gates=[*proof.gates, *gates])


def _recipes(request: ExportRequest) -> list[Recipe]:
    """Return the recipes to try; refuse what can be refused before any work is done."""
    out, profile = request.out, request.profile
    if out.exists() and not (request.overwrite and (out / MANIFEST).exists()):
        raise BundleError(f"{out}: already exists; choose another folder or pass --overwrite")
    if request.sensitivity is not None:
        check_sensitivity_folder(request.sensitivity, overwrite=request.overwrite)
    if request.auto and len(request.recipes) > 1:
        raise UsageError("--recipe auto chooses by itself; pass no other recipe with it")
    if profile is None:
        if request.check_wheels:
            raise UsageError("--check-wheels asks for a device's wheels; say which device with --profile")
        return _named_or_all(request, request.formats)
    # Of the formats asked for, `auto` tries those that the device can run.
    runnable = tuple(name for name in request.formats if name in profile.formats)
    formats = runnable if request.auto and runnable else request.formats
    for name in formats:
        if name not in profile.formats:
            raise UsageError(
                f"profile {profile.name} runs {', '.join(profile.engines)}: no engine for {name}; "
                f"use --format {profile.formats[0]}"
            )
    return [_for_profile(recipe, profile) for recipe in _named_or_all(request, formats)]


def _named_or_all(request: ExportRequest, formats: Sequence[str]) -> list[Recipe]:
    if request.auto:
        return candidates(formats, request.profile)
    return list(select_recipes(formats, request.recipes).values())


def _for_profile(recipe: Recipe, profile: DeviceProfile) -> Recipe:
    """Return the recipe with the profile's limit to the file size, where that is tighter."""
    if not runs_everywhere(recipe, profile):
        raise UsageError(
            f"recipe {recipe.name} is computed right by {', '.join(recipe.engines)} only, but profile "
            f"{profile.name} runs {', '.join(profile.engines)}; choose another recipe"
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


def _convert(
    conversions: Conversions, recipes: Sequence[Recipe], progress: Progress
) -> dict[str, ConvertedModel]:
    models = {}
    for recipe in recipes:
        progress(f"converting to {recipe.format} by {recipe.name}")
        models[recipe.format] = conversions.convert(recipe)
    return models


def _write(
    request: ExportRequest,
    encoder: Encoder,
    spec: ModelSpec,
    encoder_id: str,
    models: dict[str, ConvertedModel],
    recipes: dict[str, Recipe],
    provenance: dict[str, Any],
    proof: Proof,
) -> Bundle:
    card = model_card(request.run, spec, encoder_id, parameter_count(encoder), proof.gates)
    # What latency estimates start from.
    cost = dataclasses.asdict(layer_cost(for_export(encoder), spec.input_size))
    files = {MODEL_FILES[key]: model.content for key, model in models.items()}
    return write_bundle(
        request.out,
        spec=spec,
        encoder_id=encoder_id,
        models={key: {**_facts(key, model, recipes[key]), "cost": cost} for key, model in models.items()},
        recipe=provenance,
        gates=[gate.to_dict() for gate in proof.gates],
        made_by=_made_by(recipes),
        files={**files, GOLDEN: proof.golden, CARD: card.encode()},
        overwrite=request.overwrite,
    )


def _facts(format_name: str, model: ConvertedModel, recipe: Recipe) -> dict[str, Any]:
    facts = {
        "file": MODEL_FILES[format_name],
        "bytes": len(model.content),
        "quantisation": recipe.description,
    }
    return {**facts, "engines": list(recipe.engines)} if recipe.engines else facts


def _provenance(
    request: ExportRequest, recipes: dict[str, Recipe], data: CalibrationData, tried: Sequence[Candidate]
) -> dict[str, Any]:
    provenance = {
        "profile": request.profile.name if request.profile else None,
        "recipes": {key: recipe.to_dict() for key, recipe in recipes.items()},
        "calibration": data.summary(),
    }
    if not tried:
        return provenance
    table = [candidate.to_dict() for candidate in tried]
    return {**provenance, "auto": {"candidates": table, "remarks": remarks(tried, request.profile)}}


def _made_by(recipes: dict[str, Recipe]) -> dict[str, str]:
    packages = ["numpy", "pillow", "torch", *(package for key in recipes for package in _MADE_WITH[key])]
    return {"edgesim": __version__, **{package: metadata.version(package) for package in packages}}
