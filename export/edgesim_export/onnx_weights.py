"""Int8 weights in an ONNX file whose activations stay in float: a dequantise on each weight tensor."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_WEIGHTED = ("Conv", "Gemm")


def quantise_weights(
    model: onnx.ModelProto, levels: int, float_nodes: Collection[str], *, per_channel: bool
) -> onnx.ModelProto:
    """Return the graph with the weights of its convolutions and linear layers in int8.

    Args:
        model: float; Gemm's weights have a row for each output, as PyTorch has them.
        levels: the largest integer that a weight becomes.
        float_nodes: names of the nodes whose weights stay in float.
        per_channel: one scale for each output channel, else one for each tensor.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantisers = []
    for node in model.graph.node:
        if node.op_type not in _WEIGHTED or node.name in float_nodes:
            continue
        name = node.input[1]
        integers, scales = _integers(numpy_helper.to_array(weights[name]), levels, per_channel)
        model.graph.initializer.remove(weights[name])
        arrays = {f"{name}_quantized": integers, f"{name}_scale": scales}
        model.graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in arrays.items())
        axis = {"axis": 0} if per_channel else {}
        dequantisers.append(
            helper.make_node("DequantizeLinear", [*arrays], [name], f"{name}_dequantise", **axis)
        )
    graph_nodes = [*dequantisers, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(graph_nodes)
    return model


def _integers(
    weight: NDArray[np.float32], levels: int, per_channel: bool
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return integers of the weight's shape, and the scales: (O,), or () for one."""
    rows = weight.reshape(len(weight), -1) if per_channel else weight.reshape(1, -1)
    scales = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny) / np.float32(levels)
    integers = np.rint(rows / scales[:, None]).astype(np.int8).reshape(weight.shape)
    return integers, (scales if per_channel else scales.reshape(())).astype(np.float32)
