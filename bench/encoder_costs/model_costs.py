"""What a model file computes for one image, counted in the file: multiply-accumulates, and bytes moved.

Counted are convolutions, linear layers and matrix products, as `edgesim.models.cost` does. The bytes are
those of the numbers that these read and write, weights included, biases left out: one a number where the
operator works on int8, four in float32. What activations, sums and pooling move is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from ai_edge_litert import schema_py_generated as schema

from edgesim.errors import InputError

Shape = Sequence[int]
_TFLITE_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_TFLITE_BYTES = {schema.TensorType.FLOAT32: 4, schema.TensorType.UINT8: 1, schema.TensorType.INT8: 1}
# Multiply too, but no encoder measured so far has them: refused rather than left out.
_UNKNOWN = (
    {"BATCH_MATMUL", "TRANSPOSE_CONV", "CONV_3D", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
    | {"ConvTranspose", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm"}
    | {"FusedConv", "Einsum", "Attention", "LSTM", "GRU"}
)


class Product(NamedTuple):
    """One operator: products a number of its output, the shapes of what it moves, and bytes of a number."""

    products: int
    inputs: Shape
    output: Shape
    weights: Shape
    number_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.products * math.prod(self.output)

    @property
    def moved_bytes(self) -> int:
        """Bytes read and written."""
        return self.number_bytes * sum(map(math.prod, (self.inputs, self.output, self.weights)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileCost:
    """Of one image.

    Attributes:
        macs: multiply-accumulates.
        moved_bytes: see the module.
        arithmetic: `int8` or `float32`, whichever does more of them.
    """

    macs: int
    moved_bytes: int
    arithmetic: str


def file_cost(path: Path, side: int = 0) -> FileCost:
    """Return the cost of a TFLite or ONNX file.

    Args:
        path: the file; what its name ends in tells its format.
        side: height and width of the picture, where an ONNX file leaves them open.

    Raises:
        InputError: an operator multiplies in a way that is not counted, or a shape is not known.
    """
    products = list(_onnx_products(path, side) if path.suffix == ".onnx" else _tflite_products(path))
    narrow = sum(product.macs for product in products if product.number_bytes == 1)
    macs = sum(product.macs for product in products)
    return FileCost(
        macs=macs,
        moved_bytes=sum(product.moved_bytes for product in products),
        arithmetic="int8" if 2 * narrow > macs else "float32",
    )


def _tflite_products(path: Path) -> Iterator[Product]:
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            # Codes above 127 are in the newer of the two fields.
            name = _TFLITE_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
            _refuse(path, name)
            if name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
                continue
            entry, kernel = (graph.tensors[i] for i in operator.inputs[:2])
            # (out, height, width, in), or of a linear layer (out, in); depthwise (1, height, width, out).
            weights = kernel.shape.tolist()
            products = math.prod(weights[1:-1] if name == "DEPTHWISE_CONV_2D" else weights[1:])
            output = graph.tensors[operator.outputs[0]].shape.tolist()
            yield Product(products, entry.shape.tolist(), output, weights, _TFLITE_BYTES[entry.type])


def _onnx_products(path: Path, side: int) -> Iterator[Product]:
    graph = _with_shapes(onnx.load(path), side).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    producers = {name: node.op_type for node in graph.node for name in node.output}
    for node in graph.node:
        _refuse(path, node.op_type)
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        entry, weights, output = (shapes.get(n, [0]) for n in (*node.input[:2], node.output[0]))
        if not all((*entry, *weights, *output)):
            raise InputError(f"{path}: the shapes around {node.name or node.op_type} are not known")
        if node.op_type == "Conv":
            products = math.prod(weights[1:])
        else:
            products = weights[-1] if _transposed(node) else weights[-2]
        number_bytes = 1 if producers.get(node.input[1]) == "DequantizeLinear" else 4
        yield Product(products, entry, output, weights, number_bytes)


def _with_shapes(model: onnx.ModelProto, side: int) -> Any:
    """Return the model with the shapes of all tensors, for one image."""
    (entry,) = model.graph.input
    for number, dimension in enumerate(entry.type.tensor_type.shape.dim):
        if not dimension.dim_value:
            dimension.dim_value = side if number else 1
    # What was written down for a batch of any size is inferred anew.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _refuse(path: Path, operator: str) -> None:
    if operator in _UNKNOWN:
        raise InputError(
            f"{path}: {operator} multiplies, and is not counted; teach bench/encoder_costs/model_costs.py it"
        )
