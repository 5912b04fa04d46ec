"""From an encoder to model files by recipes; what several recipes share is computed once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, for_export
from edgesim.preprocess import normalise
from edgesim_export.calibration import CalibrationData
from edgesim_export.converted import ConvertedModel
from edgesim_export.layers import Operator, select
from edgesim_export.ranges import Ranges
from edgesim_export.recipe import Recipe
from edgesim_export.weights import round_weights, second_moments


class FloatGraph(Protocol):
    """The float encoder in one format, before it is quantised."""

    @property
    def operators(self) -> list[Operator]:
        """What it computes, in the order of execution."""
        ...

    def with_weights_of(self, other: Self, keys: Collection[str]) -> Self:
        """Return this graph with the weights of some operators from another export of the encoder."""
        ...

    def ranges(self, images: NDArray[np.float32], recipe: Recipe) -> Ranges:
        """Return the ranges of all activations over (C, S, S, 3) normalised images."""
        ...

    def quantise(self, recipe: Recipe, ranges: Ranges, float_keys: Collection[str]) -> ConvertedModel:
        """Return the model file; the operators with these keys stay in float."""
        ...


class Conversions:
    """Model files of one encoder.

    Args:
        encoder: as it was trained, in evaluation mode.
        spec: of the encoder.
        data: the calibration images.
    """

    def __init__(self, encoder: Encoder, spec: ModelSpec, data: CalibrationData) -> None:
        self._encoder, self._spec, self._data = encoder, spec, data
        self._cached_moments = functools.cache(self._moments)
        self._cached_graph = functools.cache(self._graph)
        self._cached_ranges = functools.cache(self._ranges)

    def convert(self, recipe: Recipe) -> ConvertedModel:
        """Return the model file that a recipe makes.

        Raises:
            UsageError: the recipe keeps a layer in float that the encoder does not have.
        """
        kept = select(self.graph(recipe).operators, recipe.keep_float, f"recipe {recipe.name}")
        return self.convert_all_but(recipe, kept)

    def convert_all_but(self, recipe: Recipe, kept: Collection[str]) -> ConvertedModel:
        """Return what a recipe makes if the operators with these keys, and no others, stay in float."""
        # What stays in float has no reason to be rounded.
        graph = self.graph(recipe)
        if kept and recipe.rounding == "gptq":
            graph = graph.with_weights_of(self._cached_graph(recipe.format, None), kept)
        return graph.quantise(recipe, self.ranges(recipe), kept)

    def graph(self, recipe: Recipe) -> FloatGraph:
        """Return the float graph, its weights rounded as the recipe says."""
        grid = (recipe.weight_levels, recipe.granularity, recipe.calibration_images)
        return self._cached_graph(recipe.format, grid if recipe.rounding == "gptq" else None)

    def ranges(self, recipe: Recipe) -> Ranges:
        """Return the ranges of the activations, none where the recipe asks for none."""
        return self._cached_ranges(recipe) if recipe.mode == "static" else {}

    def _graph(self, model_format: str, grid: tuple[int, str, int] | None) -> FloatGraph:
        exported = for_export(self._encoder)
        if grid is not None:
            levels, granularity, count = grid
            round_weights(
                exported, self._cached_moments(count), levels, per_tensor=granularity == "per_tensor"
            )
        return graph_class(model_format)(exported)

    def _moments(self, count: int) -> dict[str, Tensor]:
        return second_moments(for_export(self._encoder), self._images(count))

    def _ranges(self, recipe: Recipe) -> Ranges:
        return self.graph(recipe).ranges(self._images(recipe.calibration_images), recipe)

    def _images(self, count: int) -> NDArray[np.float32]:
        return normalise(self._data.calibration[:count], self._spec)


def convert(exported: Encoder, images: NDArray[np.float32], recipe: Recipe) -> ConvertedModel:
    """Return what a recipe makes of an encoder on its own, but for the rounding of its weights.

    Args:
        exported: from `edgesim.models.encoder.for_export`; its weights are taken as they are.
        images: (C, S, S, 3) normalised calibration images.
        recipe: how to make it.
    """
    graph = graph_class(recipe.format)(exported)
    ranges = graph.ranges(images, recipe) if recipe.mode == "static" else {}
    return graph.quantise(recipe, ranges, select(graph.operators, recipe.keep_float, recipe.name))


def graph_class(model_format: str) -> Callable[[Encoder], FloatGraph]:
    """Return what exports an encoder that `for_export` made, for `onnx` or `tflite`.

    Raises:
        ModuleNotFoundError: the converter is not installed.
    """
    # Imported when asked for: the converter to TFLite takes seconds to import, and has x86-64 wheels only.
    if model_format == "onnx":
        from edgesim_export.onnx_int8 import OnnxGraph

        return OnnxGraph.of
    from edgesim_export.tflite_int8 import TfliteGraph

    return TfliteGraph.of
