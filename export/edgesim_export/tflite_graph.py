"""The float encoder as a TFLite flatbuffer, and a look into flatbuffers; without TensorFlow."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from edgesim.models.encoder import Encoder
from edgesim_export.layers import ROOT, Operator
from edgesim_export.quiet import quiet

with quiet():
    import litert_torch

_OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# A layer on the way from the encoder to an operator: its class, and its name in the layer above.
_MODULE = re.compile(r"(?:[^/]*\.)?[A-Z][A-Za-z0-9]*_(.+)")
_ENCODER = "Encoder_wrapped"
# Of an `Encoder`.
_LAST_LAYER = "embedding"


def export_float(encoder: Encoder) -> bytes:
    """Return the encoder as a TFLite file that computes the same numbers.

    `encoder` comes from `edgesim.models.encoder.for_export`. Input float32 (1, S, S, 3), normalised; output
    float32 (1, D), not L2-normalised: computed on the device, the division by the length would leave one
    operator in float, and the oldest engine does not load its int8 square root.
    """
    size = encoder.config.input_size
    with quiet(), tempfile.TemporaryDirectory(prefix="edgesim-tflite-") as folder:
        channels_last = litert_torch.to_channel_last_io(encoder, args=[0]).eval()
        model = litert_torch.convert(channels_last, (torch.zeros(1, size, size, 3),))
        path = Path(folder) / "float.tflite"
        model.export(str(path))
        return path.read_bytes()


def float_operators(model: bytes) -> list[str]:
    """Return the types of the operators that read or write a float tensor, one item for each, sorted."""
    return sorted(
        name
        for name, inputs, outputs in _operators(model)
        if any(tensor.type == schema.TensorType.FLOAT32 for tensor in (*inputs, *outputs))
    )


def input_names(model: bytes, operator: str) -> list[str]:
    """Return the name of the first input tensor of every operator of that type."""
    return [inputs[0].name.decode() for name, inputs, _ in _operators(model) if name == operator]


def activation_names(model: bytes) -> list[str]:
    """Return the names of the float tensors that change with the picture, the input first."""
    (graph,) = schema.ModelT.InitFromPackedBuf(model, 0).subgraphs
    tensors = [graph.tensors[i] for i in (*graph.inputs, *(i for o in graph.operators for i in o.outputs))]
    return [tensor.name.decode() for tensor in tensors if tensor.type == schema.TensorType.FLOAT32]


def operators(model: bytes) -> list[Operator]:
    """Return the operators of a float graph; their keys are the names of what they put out.

    Quantising input and output is counted as an operator too, of the first layer and of the last.
    """
    found = [
        Operator(outputs[0].name.decode(), kind, _layer(outputs[0].name.decode(), kind))
        for kind, _, outputs in _operators(model)
    ]
    entry, *_ = activation_names(model)
    return [Operator(entry, "INPUT", found[0].layer), *found]


def _layer(output: str, kind: str) -> str:
    """Return the layer of an operator by the name of what it puts out.

    The converter joins the names of the layers around it, `.../torch.nn.modules.conv.Conv2d_patches;2`, and
    those of two operators that it made one: then what has weights has the name of the inner one.
    """
    paths = [path for path in output.split(";") if "/" in path]
    if not paths:
        # The encoder itself, or the output's own name in place of that of the last layer.
        return ROOT if _ENCODER in output else _LAST_LAYER
    parts = paths[-1 if kind in _WEIGHTED else 0].split("/")[2:]
    names = [match[1] for part in parts if (match := _MODULE.fullmatch(part))]
    return ".".join(names) or ROOT


def take_weights(model: bytes, other: bytes, keys: Collection[str]) -> bytes:
    """Return a graph whose operators of these keys have the weights of another export of it."""
    tree, theirs = (schema.ModelT.InitFromPackedBuf(content, 0) for content in (model, other))
    for graph, their_graph in zip(tree.subgraphs, theirs.subgraphs, strict=True):
        for operator, their_operator in zip(graph.operators, their_graph.operators, strict=True):
            if graph.tensors[operator.outputs[0]].name.decode() not in keys:
                continue
            for i, k in zip(operator.inputs, their_operator.inputs, strict=True):
                content = theirs.buffers[their_graph.tensors[k].buffer].data if k >= 0 else None
                if content is not None:
                    tree.buffers[graph.tensors[i].buffer].data = content
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def _operators(model: bytes) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Yield type, input tensors and output tensors of each operator."""
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    for graph in tree.subgraphs:
        for operator in graph.operators:
            code = tree.operatorCodes[operator.opcodeIndex]
            # Codes above 127 are in the newer of the two fields.
            name = _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
            inputs, outputs = (
                [graph.tensors[i] for i in ends if i >= 0] for ends in (operator.inputs, operator.outputs)
            )
            yield name, inputs, outputs
