"""From the float ONNX graph to int8, in QDQ form: a quantise and a dequantise on each tensor."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization import registry
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgesim.models.encoder import Encoder
from edgesim_export.converted import ConvertedModel
from edgesim_export.layers import Operator
from edgesim_export.onnx_graph import INPUT, export_float, operators, strip_metadata, take_weights
from edgesim_export.onnx_ties import separate_ties
from edgesim_export.onnx_weights import quantise_weights
from edgesim_export.quiet import quiet
from edgesim_export.ranges import Activations, Ranges, find_ranges
from edgesim_export.recipe import Recipe

_TYPES = {"int8": quantization.QuantType.QInt8, "uint8": quantization.QuantType.QUInt8}


class OnnxGraph:
    """The float encoder, ready to be quantised; a `edgesim_export.conversion.FloatGraph`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model

    @classmethod
    def of(cls, encoder: Encoder) -> OnnxGraph:
        """Export an encoder that `edgesim.models.encoder.for_export` made."""
        with tempfile.TemporaryDirectory(prefix="edgesim-onnx-") as folder, quiet():
            source, prepared = Path(folder) / "float.onnx", Path(folder) / "prepared.onnx"
            export_float(encoder, source)
            # Its symbolic shape inference needs another package and finds nothing more in this graph.
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            return cls(onnx.load(prepared))

    @property
    def operators(self) -> list[Operator]:
        """The nodes, in the order of execution; their keys are the nodes' names."""
        return operators(self._model)

    def with_weights_of(self, other: OnnxGraph, keys: Collection[str]) -> OnnxGraph:
        """Return this graph with the weights of some operators from another export of the encoder."""
        return OnnxGraph(take_weights(self._model, other._model, keys))

    def ranges(self, images: NDArray[np.float32], recipe: Recipe) -> Ranges:
        """Return the ranges of all activations over (C, S, S, 3) normalised images."""
        with quiet():
            session, names = _observer(self._model)
            gelu_inputs = [node.input[0] for node in self._model.graph.node if node.op_type == "Gelu"]
            return find_ranges(lambda: _activations(session, names, images), recipe, gelu_inputs)

    def quantise(self, recipe: Recipe, ranges: Ranges, float_keys: Collection[str]) -> ConvertedModel:
        """Return the model file.

        Args:
            recipe: of format `onnx`.
            ranges: from `ranges`; what a recipe of another mode than `static` does without.
            float_keys: of the operators that stay in float.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        if recipe.mode == "static":
            model = _static(model, recipe, ranges, float_keys)
            separate_ties(model)
        elif recipe.mode == "weights":
            per_channel = recipe.granularity == "per_channel"
            model = quantise_weights(model, recipe.weight_levels, float_keys, per_channel=per_channel)
        strip_metadata(model)
        onnx.checker.check_model(model)
        return ConvertedModel(content=model.SerializeToString(), float_operators=float_operators(model))


def _observer(model: onnx.ModelProto) -> tuple[onnxruntime.InferenceSession, list[str]]:
    """Return a session that also puts out what is between the nodes, and the names of what is float."""
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    floats = {
        v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    results = [name for node in model.graph.node for name in node.output]
    inner = [name for name in results if name in floats]
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Every node as it stands: fused ones would hide what is between them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        observed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session, [*(output.name for output in model.graph.output), *inner]


def _activations(
    session: onnxruntime.InferenceSession, names: list[str], images: NDArray[np.float32]
) -> Iterator[Activations]:
    for image in images:
        entry = np.ascontiguousarray(image.transpose(2, 0, 1))[None]
        yield {INPUT: entry, **dict(zip(names, session.run(names, {INPUT: entry}), strict=True))}


def _static(
    model: onnx.ModelProto, recipe: Recipe, ranges: Ranges, float_keys: Collection[str]
) -> onnx.ModelProto:
    known = {*registry.QLinearOpsRegistry, *registry.QDQRegistry}
    found = {name: (np.array(low), np.array(high)) for name, (low, high) in ranges.items()}
    with quiet():
        quantizer = quantization.QDQQuantizer(
            model,
            recipe.granularity == "per_channel",
            recipe.reduce_range,
            _TYPES[recipe.weights],
            _TYPES[recipe.activations],
            TensorsData(quantization.CalibrationMethod.MinMax, found),
            [],
            sorted(float_keys),
            sorted(known),
            {},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    quantised: onnx.ModelProto = quantizer.model.model
    return quantised


def float_operators(model: onnx.ModelProto) -> list[str]:
    """Return the types of the operators that ONNX Runtime computes in float, one item for each, sorted.

    What matters is the graph as the runtime rewrites it: there, integer kernels have replaced what stands
    between a pair of dequantise and quantise, where the runtime has such a kernel.
    """
    with tempfile.TemporaryDirectory(prefix="edgesim-onnx-") as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return _float_operators(onnx.load(options.optimized_model_filepath).graph)


def _float_operators(graph: onnx.GraphProto) -> list[str]:
    """Follow the element type through the graph, whose nodes are in the order of execution."""
    is_float = {tensor.name: True for tensor in graph.input}
    is_float |= {tensor.name: tensor.data_type == onnx.TensorProto.FLOAT for tensor in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear" or node.op_type.startswith("QLinear") or node.op_type == "QGemm":
            result = False
        elif node.op_type == "DequantizeLinear":
            result = True
        else:
            result = is_float[node.input[0]]
            if result:
                found.append(node.op_type)
        is_float |= dict.fromkeys(node.output, result)
    return sorted(found)
