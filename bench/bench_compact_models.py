"""What each architecture of edgesim/models/zoo costs: parameters, multiply-accumulates, size of its files.

    python bench/bench_compact_models.py

The sizes are those of files that were made, from random weights, which do not change them: encoder.pt, float,
as a training writes it, and both int8 models. The result goes to bench/results/compact/models.json.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import describe_machine, write_result
from pages.compact_encoder import models_table
from tqdm import tqdm

from edgesim.model_spec import ModelSpec
from edgesim.models import zoo
from edgesim.models.cost import multiply_accumulates, parameter_count
from edgesim.models.encoder import Encoder, for_export
from edgesim.training.checkpoint import ENCODER_FILE, save_encoder
from edgesim_export.conversion import convert
from edgesim_export.recipe import select_recipes


def measure(name: str) -> dict[str, Any]:
    torch.manual_seed(0)
    encoder = Encoder(zoo.load_model(name)).eval()
    size = encoder.config.input_size
    images = np.random.default_rng(0).standard_normal((4, size, size, 3)).astype(np.float32)
    recipes = select_recipes(("onnx", "tflite"), ())
    exported = for_export(encoder)
    spec = ModelSpec(name=name, input_size=size, embedding_dim=encoder.config.embedding_dim)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ENCODER_FILE
        save_encoder(path, encoder, spec)
        float_bytes = path.stat().st_size
    return {
        "input_size": size,
        "embedding_dim": encoder.config.embedding_dim,
        "parameters": parameter_count(encoder),
        "multiply_accumulates": multiply_accumulates(encoder),
        "float_bytes": float_bytes,
        "int8_onnx_bytes": len(convert(exported, images, recipes["onnx"]).content),
        "int8_tflite_bytes": len(convert(exported, images, recipes["tflite"]).content),
    }


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    # Others trained the pretrained ones, which are never shipped.
    names = [name for name in zoo.model_names() if not zoo.load_model(name).pretrained]
    models = {name: measure(name) for name in tqdm(names, "models", disable=None)}
    result = {"machine": describe_machine(), "models": models}
    write_result("compact/models", result)
    print(models_table(result))


if __name__ == "__main__":
    main()
