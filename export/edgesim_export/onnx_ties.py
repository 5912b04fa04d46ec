"""Sums and products of int8 tensors that come out the same on every CPU.

ONNX Runtime scales both tensors in float32, adds or multiplies, and rounds to a step of the result. Where the
exact result lies half way between two steps, whether a CPU fuses multiplication and addition decides. A pair
of 8-bit numbers has 65,536 values, so all can be looked at; a scale of the result that is a little larger, by
less than a thousandth as a rule, moves them off the ties. Our choice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

# In steps of the result. Rounding each of four float32 operations on numbers up to 512 stays below it.
MARGIN = 6e-5
_OPERATIONS = {"Add": np.add.outer, "Mul": np.multiply.outer}
_TRIALS, _GROWTH = 5_000, 1e-5


class Levels:
    """The quantisation of a tensor: its scale and zero point, and the initialisers that hold them."""

    def __init__(self, node: onnx.NodeProto, initializers: dict[str, onnx.TensorProto]) -> None:
        self.holder = initializers[node.input[1]]
        self.scale: NDArray[Any] = numpy_helper.to_array(self.holder)
        self.zero: NDArray[Any] = numpy_helper.to_array(initializers[node.input[2]])

    @property
    def values(self) -> NDArray[np.float64]:
        """All values that the tensor's numbers stand for, exactly, (256,)."""
        limits = np.iinfo(self.zero.dtype)
        return (np.arange(limits.min, limits.max + 1) - int(self.zero)) * np.float64(self.scale)


def separate_ties(model: onnx.ModelProto) -> None:
    """Enlarge, in place, the scales of sums and products of a QDQ graph until none lies on a tie."""
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantisers = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in model.graph.node:
        if node.op_type not in _OPERATIONS:
            continue
        sides = [dequantisers[name] for name in node.input if name in dequantisers]
        result = readers.get(node.output[0], [])
        if len(sides) == 2 and [reader.op_type for reader in result] == ["QuantizeLinear"]:
            first, second = (Levels(side, initializers) for side in sides)
            if first.scale.ndim == second.scale.ndim == 0:
                exact = _OPERATIONS[node.op_type](first.values, second.values)
                _separate(exact, Levels(result[0], initializers))


def _separate(exact: NDArray[np.float64], result: Levels) -> None:
    for trial in range(_TRIALS):
        scale = np.float32(result.scale * (1 + trial * _GROWTH))
        if has_ties(exact, scale, result.zero):
            continue
        if trial:
            result.holder.CopyFrom(numpy_helper.from_array(np.asarray(scale), result.holder.name))
        return


def has_ties(exact: NDArray[np.float64], scale: np.float32, zero: NDArray[Any]) -> bool:
    """Return whether a result, exact and not yet quantised, is within `MARGIN` of a tie that decides.

    Beyond the first and the last step all come out as that step.
    """
    limits = np.iinfo(zero.dtype)
    steps = exact / np.float64(scale) + int(zero)
    tie = np.floor(steps) + 0.5
    near = np.abs(steps - tie) < MARGIN
    return bool((near & (tie > limits.min) & (tie < limits.max)).any())
