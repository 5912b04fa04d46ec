"""The proof of a conversion: the model files in a bundle on disk, run by the device's own code."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgesim.bundle import MODEL_FILES, Bundle
from edgesim.bundle_writing import golden_bytes, write_bundle
from edgesim.errors import MissingDependencyError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, embed_pixels
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.engines import available_engines, model_format
from edgesim_export.calibration import CalibrationData
from edgesim_export.converted import ConvertedModel
from edgesim_export.golden import golden_images
from edgesim_export.recipe import Recipe
from edgesim_export.validate import Embeddings, Gate, measure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proof:
    """What a bundle holds beside its model files.

    Attributes:
        gates: of the recipe, passed or not.
        golden: content of the bundle's file of golden images and embeddings.
    """

    gates: list[Gate]
    golden: bytes


def prove(
    spec: ModelSpec,
    models: dict[str, ConvertedModel],
    recipes: dict[str, Recipe],
    expected: Embeddings,
    data: CalibrationData,
) -> Proof:
    """Compare model files with the float encoder on the held-out images, and compute the golden embeddings.

    Args:
        spec: of the encoder.
        models, recipes: by format.
        expected: from `embed_float`.
        data: the images.

    Raises:
        MissingDependencyError: no engine for a format is installed.
    """
    with tempfile.TemporaryDirectory(prefix="edgesim-export-") as folder:
        staged = stage(Path(folder) / "bundle", spec, models)
        embedders = {key: Embedder(staged, _engine(key)) for key in models}
        gates = []
        for key, model in models.items():
            actual = embed_held_out(embedders[key], data)
            gates += measure(key, model, recipes[key].gates, expected, actual, data.truth)
        return Proof(gates=gates, golden=_golden(embedders))


def stage(folder: Path, spec: ModelSpec, models: dict[str, ConvertedModel]) -> Bundle:
    """Write a bundle that has all that the `Embedder` needs, and no more."""
    facts: dict[str, dict[str, Any]] = {key: {"file": MODEL_FILES[key]} for key in models}
    return write_bundle(
        folder,
        spec=spec,
        encoder_id="staged",
        models=facts,
        recipe={},
        gates=[],
        made_by={},
        files={MODEL_FILES[key]: model.content for key, model in models.items()},
    )


def _engine(format_name: str) -> str:
    engines = [engine for engine in available_engines() if model_format(engine) == format_name]
    if not engines:
        raise MissingDependencyError(
            f"no engine is installed to check the {format_name} model. Run: pip install 'edgesim[export]'"
        )
    return engines[0]


def embed_float(encoder: Encoder, spec: ModelSpec, data: CalibrationData) -> Embeddings:
    """Return what the float encoder makes of the held-out images, in PyTorch."""
    return Embeddings(
        references=embed_pixels(encoder, spec, data.references),
        queries=embed_pixels(encoder, spec, data.queries),
    )


def embed_held_out(embedder: Embedder, data: CalibrationData) -> Embeddings:
    """Return what a model file makes of the held-out images, in the device's own code."""
    return Embeddings(
        references=embedder.embed_pixels(data.references), queries=embedder.embed_pixels(data.queries)
    )


def _golden(embedders: dict[str, Embedder]) -> bytes:
    images = golden_images()
    return golden_bytes(
        images,
        {
            key: np.stack([embedder.embed_image(image, name="golden image") for image in images])
            for key, embedder in embedders.items()
        },
    )
