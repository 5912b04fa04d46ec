"""From the float TFLite graph to int8: every operator, the input and the output, or less of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.models.encoder import Encoder
from edgesim_export.converted import ConvertedModel
from edgesim_export.layers import Operator
from edgesim_export.quiet import quiet
from edgesim_export.ranges import Activations, Ranges, find_ranges
from edgesim_export.recipe import Recipe
from edgesim_export.tflite_graph import (
    activation_names,
    export_float,
    float_operators,
    input_names,
    operators,
    take_weights,
)

with quiet():
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

_ALL = qtyping.TFLOperationName.ALL_SUPPORTED
_GRANULARITIES = {
    "per_channel": qtyping.QuantGranularity.CHANNELWISE,
    "per_tensor": qtyping.QuantGranularity.TENSORWISE,
}


class TfliteGraph:
    """The float encoder, ready to be quantised; a `edgesim_export.conversion.FloatGraph`."""

    def __init__(self, model: bytes) -> None:
        self._model = model

    @classmethod
    def of(cls, encoder: Encoder) -> TfliteGraph:
        """Export an encoder that `edgesim.models.encoder.for_export` made."""
        return cls(export_float(encoder))

    @property
    def operators(self) -> list[Operator]:
        """The operators, in the order of execution; their keys are the names of what they put out."""
        return operators(self._model)

    def with_weights_of(self, other: TfliteGraph, keys: Collection[str]) -> TfliteGraph:
        """Return this graph with the weights of some operators from another export of the encoder."""
        return TfliteGraph(take_weights(self._model, other._model, keys))

    def ranges(self, images: NDArray[np.float32], recipe: Recipe) -> Ranges:
        """Return the ranges of all activations over (C, S, S, 3) normalised images."""
        with quiet():
            gelu_inputs = input_names(self._model, "GELU")
            return find_ranges(lambda: _activations(self._model, images), recipe, gelu_inputs)

    def quantise(self, recipe: Recipe, ranges: Ranges, float_keys: Collection[str]) -> ConvertedModel:
        """Return the model file.

        Args:
            recipe: of format `tflite`.
            ranges: from `ranges`; what a recipe of another mode than `static` does without.
            float_keys: of the operators that stay in float.
        """
        content = self._model
        if recipe.weights != "float32":
            with quiet():
                content = _quantise(content, recipe, ranges, float_keys)
        return ConvertedModel(content=content, float_operators=float_operators(content))


def _quantise(model: bytes, recipe: Recipe, ranges: Ranges, float_keys: Collection[str]) -> bytes:
    plan = _plan(recipe)
    for key in sorted(float_keys):
        # The quantiser knows an operator by what it puts out, and ends every name with a semicolon.
        plan.add_quantization_config(f"^{re.escape(key)};$", _ALL, None, AlgorithmName.NO_QUANTIZE)
    # What the quantiser calls quantisation statistics, with as many axes as it makes itself.
    statistics = {
        name: {"min": np.full((1, 1, 1, 1), low), "max": np.full((1, 1, 1, 1), high)}
        for name, (low, high) in ranges.items()
    }
    quantised = quantizer.Quantizer(model, plan.get_quantization_recipe()).quantize(
        statistics or None, enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(quantised.quantized_model)


def _plan(recipe: Recipe) -> Any:
    plan = recipe_manager.RecipeManager()
    if recipe.weights == "float16":
        granularity = qtyping.QuantGranularity.TENSORWISE
        plan.add_weight_only_config(".*", _ALL, 16, granularity, AlgorithmName.FLOAT_CASTING)
        return plan
    granularity = _GRANULARITIES[recipe.granularity]
    if recipe.mode == "static":
        plan.add_static_config(".*", _ALL, 8, 8, granularity)
    elif recipe.mode == "dynamic":
        plan.add_dynamic_config(".*", _ALL, 8, granularity)
    else:
        plan.add_weight_only_config(".*", _ALL, 8, granularity)
    return plan


def _activations(model: bytes, images: NDArray[np.float32]) -> Iterator[Activations]:
    # Otherwise the memory of an activation is used again before it can be read.
    interpreter = Interpreter(model_content=model, num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    wanted = set(activation_names(model))
    indices = {d["name"]: d["index"] for d in interpreter.get_tensor_details() if d["name"] in wanted}
    for image in images:
        interpreter.set_tensor(entry["index"], image[None])
        interpreter.invoke()
        yield {name: interpreter.get_tensor(index) for name, index in indices.items()}
