"""TFLite files written operator by operator, so that every number in them is known."""

import dataclasses
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
}
_OPERATORS = {
    "QUANTIZE": (
        schema.BuiltinOperator.QUANTIZE,
        schema.BuiltinOptions.QuantizeOptions,
        schema.QuantizeOptionsT,
    ),
    "MEAN": (schema.BuiltinOperator.MEAN, schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT),
    "FULLY_CONNECTED": (
        schema.BuiltinOperator.FULLY_CONNECTED,
        schema.BuiltinOptions.FullyConnectedOptions,
        schema.FullyConnectedOptionsT,
    ),
    "CONV_2D": (
        schema.BuiltinOperator.CONV_2D,
        schema.BuiltinOptions.Conv2DOptions,
        schema.Conv2DOptionsT,
    ),
    "DEPTHWISE_CONV_2D": (
        schema.BuiltinOperator.DEPTHWISE_CONV_2D,
        schema.BuiltinOptions.DepthwiseConv2DOptions,
        schema.DepthwiseConv2DOptionsT,
    ),
    "BATCH_MATMUL": (
        schema.BuiltinOperator.BATCH_MATMUL,
        schema.BuiltinOptions.BatchMatMulOptions,
        schema.BatchMatMulOptionsT,
    ),
}


@dataclasses.dataclass(frozen=True)
class Tensor:
    shape: tuple[int, ...]
    dtype: Any
    scale: float | None = None
    zero_point: int = 0
    data: np.ndarray | None = None


def tflite_file(tensors: list[Tensor], operators: list[tuple[str, list[int], int]]) -> bytes:
    """Return a TFLite file; operators name their input and output tensors by number, 0 is the input and the
    output of the last one is the output."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    model.operatorCodes, graph.operators, graph.tensors = [], [], []
    for number, tensor in enumerate(tensors):
        graph.tensors.append(_tensor(model, number, tensor))
    for number, (name, inputs, output) in enumerate(operators):
        code, options_type, options_class = _OPERATORS[name]
        operator, operator_code = schema.OperatorT(), schema.OperatorCodeT()
        operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
        operator_code.version = 2 if name == "MEAN" else 4 if name == "FULLY_CONNECTED" else 1
        model.operatorCodes.append(operator_code)
        operator.opcodeIndex, operator.inputs, operator.outputs = number, inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = options_type, options_class()
        graph.operators.append(operator)
    graph.inputs, graph.outputs = [0], [operators[-1][2]]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _tensor(model: Any, number: int, tensor: Tensor) -> Any:
    made = schema.TensorT()
    made.name, made.shape, made.type = (
        f"t{number}".encode(),
        list(tensor.shape),
        _TYPES[np.dtype(tensor.dtype)],
    )
    made.buffer = 0
    if tensor.data is not None:
        content = schema.BufferT()
        content.data = np.frombuffer(tensor.data.astype(tensor.dtype).tobytes(), dtype=np.uint8)
        made.buffer = len(model.buffers)
        model.buffers.append(content)
    if tensor.scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = [tensor.scale]
        made.quantization.zeroPoint = [tensor.zero_point]
    return made
