"""From the float ONNX graph to static int8, in QDQ form: a quantise and a dequantise on each tensor."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgesim.models.encoder import Encoder
from edgesim_export.converted import ConvertedModel
from edgesim_export.onnx_graph import INPUT, export_float, strip_metadata
from edgesim_export.quiet import quiet
from edgesim_export.recipe import Recipe

_TYPES = {"int8": quantization.QuantType.QInt8, "uint8": quantization.QuantType.QUInt8}


def convert(encoder: Encoder, images: NDArray[np.float32], recipe: Recipe) -> ConvertedModel:
    """Return the encoder as an int8 ONNX file.

    Args:
        encoder: from `edgesim.models.encoder.for_export`.
        images: (C, S, S, 3) normalised calibration images.
        recipe: of format `onnx`.
    """
    with tempfile.TemporaryDirectory(prefix="edgesim-onnx-") as folder:
        float_file, int8_file = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        export_float(encoder, float_file)
        _quantise(float_file, int8_file, images, recipe)
        model = onnx.load(int8_file)
        strip_metadata(model)
        onnx.checker.check_model(model)
        onnx.save(model, int8_file)
        return ConvertedModel(content=int8_file.read_bytes(), float_operators=float_operators(int8_file))


def _quantise(source: Path, target: Path, images: NDArray[np.float32], recipe: Recipe) -> None:
    prepared = source.with_suffix(".prepared.onnx")
    with quiet():
        # Its symbolic shape inference needs another package and finds nothing more in this graph.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            _CalibrationReader(images),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=recipe.reduce_range,
            activation_type=_TYPES[recipe.activations],
            weight_type=_TYPES[recipe.weights],
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"TensorQuantOverrides": _gelu_ranges(prepared, images, recipe.gelu_input_min)},
        )


def _gelu_ranges(
    model: Path, images: NDArray[np.float32], lowest: float
) -> dict[str, list[dict[str, np.float32]]]:
    """Return the lower end of the range of every GELU's input, `lowest` at least, for the quantiser."""
    inputs = [node.input[0] for node in onnx.load(model).graph.node if node.op_type == "Gelu"]
    if not inputs:
        return {}
    augmented = str(model.with_suffix(".augmented.onnx"))
    calibrator = quantization.create_calibrator(model, ["Gelu"], augmented_model_path=augmented)
    calibrator.collect_data(_CalibrationReader(images))
    ranges = calibrator.compute_data()
    return {name: [{"rmin": np.float32(max(ranges[name].range_value[0], lowest))}] for name in inputs}


class _CalibrationReader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands ONNX Runtime's calibrator one image at a time, channels first."""

    def __init__(self, images: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = (
            {INPUT: np.ascontiguousarray(image.transpose(2, 0, 1))[None]} for image in images
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def float_operators(path: Path) -> list[str]:
    """Return the types of the operators that ONNX Runtime computes in float, one item for each, sorted.

    What matters is the graph as the runtime rewrites it: there, integer kernels have replaced what stands
    between a pair of dequantise and quantise, where the runtime has such a kernel.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_suffix(".optimised.onnx"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
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
