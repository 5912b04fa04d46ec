"""From the float TFLite graph to static int8: every operator, the input and the output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgesim.models.encoder import Encoder
from edgesim_export.converted import ConvertedModel
from edgesim_export.quiet import quiet
from edgesim_export.recipe import Recipe
from edgesim_export.tflite_graph import export_float, float_operators, input_names

with quiet():
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils


def convert(encoder: Encoder, images: NDArray[np.float32], recipe: Recipe) -> ConvertedModel:
    """Return the encoder as an int8 TFLite file.

    Args:
        encoder: from `edgesim.models.encoder.for_export`.
        images: (C, S, S, 3) normalised calibration images.
        recipe: of format `tflite`.
    """
    content = quantise(export_float(encoder), images, recipe)
    return ConvertedModel(content=content, float_operators=float_operators(content))


def quantise(model: bytes, images: NDArray[np.float32], recipe: Recipe) -> bytes:
    """Return a float TFLite file as an int8 one; `images` and `recipe` as for `convert`."""
    with quiet():
        return _quantise(model, images, recipe)


def _quantise(model: bytes, images: NDArray[np.float32], recipe: Recipe) -> bytes:
    manager = recipe_manager.RecipeManager()
    manager.add_static_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=8,
        weight_num_bits=8,
        weight_granularity=qtyping.QuantGranularity.CHANNELWISE,
    )
    # The quantizer's own calibration keeps a moving average of the ranges, which cuts off what few images
    # reach: the worst cosine fell from 0.997 to 0.93.
    ranges = calibrator.Calibrator(model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    ranges.calibrate(_samples(model, images), manager)
    qsvs = ranges.get_model_qsvs()  # tensor name -> quantisation statistics: min and max
    for name in input_names(model, "GELU"):
        qsvs[name]["min"] = np.maximum(qsvs[name]["min"], recipe.gelu_input_min)
    quantised = quantizer.Quantizer(model, manager.get_quantization_recipe()).quantize(
        qsvs, enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(quantised.quantized_model)


def _samples(model: bytes, images: NDArray[np.float32]) -> dict[str, list[dict[str, NDArray[np.float32]]]]:
    ((signature, tensors),) = Interpreter(model_content=model).get_signature_list().items()
    (name,) = tensors["inputs"]
    return {signature: [{name: image[None]} for image in images]}
