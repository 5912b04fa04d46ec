"""The float encoder as a TFLite flatbuffer, and a look into flatbuffers; without TensorFlow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ai_edge_litert import schema_py_generated as schema

from edgesim.models.encoder import Encoder
from edgesim_export.quiet import quiet

with quiet():
    import litert_torch

_OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


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
