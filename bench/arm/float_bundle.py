"""The float encoder as a bundle: what int8 is measured against."""

from __future__ import annotations

from pathlib import Path

from edgesim.builtin import checkpoint_path
from edgesim.bundle import GOLDEN, MODEL_FILES, Bundle
from edgesim.bundle_writing import golden_bytes, write_bundle
from edgesim.models.encoder import for_export
from edgesim.training.checkpoint import load_encoder, weights_sha256
from edgesim_export.onnx_graph import export_float


def write_float_bundle(folder: Path, encoder_name: str) -> Bundle:
    """Write a built-in encoder as a float32 ONNX model into a bundle without golden images. Needs torch."""
    encoder, spec = load_encoder(checkpoint_path(encoder_name))
    path = folder.with_suffix(".onnx")
    export_float(for_export(encoder), path)
    return write_bundle(
        folder,
        spec=spec,
        encoder_id=spec.encoder_id(weights_sha256(encoder)),
        models={"onnx": {"file": MODEL_FILES["onnx"], "quantisation": "none, float32"}},
        recipe={},
        gates=[],
        made_by={},
        files={MODEL_FILES["onnx"]: path.read_bytes(), GOLDEN: golden_bytes([], {})},
    )
