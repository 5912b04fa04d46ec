"""The float encoder as an ONNX graph."""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path

import onnx
import torch

from edgesim.models.encoder import Encoder
from edgesim_export.layers import ROOT, Operator
from edgesim_export.quiet import quiet

INPUT, OUTPUT = "images", "embeddings"
# The first operator set with Gelu. ONNX Runtime reads it from 1.17 on.
OPSET = 20
# Where the exporter writes which layer a node comes from: the layers around it, the node's own name last.
_SCOPES = "pkg.torch.onnx.name_scopes"


def export_float(encoder: Encoder, path: Path) -> None:
    """Write the encoder as an ONNX file that computes the same numbers.

    `encoder` comes from `edgesim.models.encoder.for_export`. The input, `images`, is float32 (N, 3, S, S),
    normalised; the output, `embeddings`, float32 (N, D), not L2-normalised, which is left to the host.
    """
    size = encoder.config.input_size
    # A batch of 1 would be taken for a constant.
    example = torch.zeros(2, 3, size, size)
    with quiet():
        torch.onnx.export(
            encoder,
            (example,),
            path,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )


def strip_metadata(model: onnx.ModelProto) -> None:
    """Remove what no runtime reads: shapes of inner tensors, documentation, and the exporter's notes."""
    model.doc_string = ""
    model.graph.doc_string = ""
    model.graph.ClearField("value_info")
    del model.metadata_props[:], model.graph.metadata_props[:]
    for element in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        element.doc_string = ""
        del element.metadata_props[:]


def operators(model: onnx.ModelProto) -> list[Operator]:
    """Return the nodes of a float graph that still has the exporter's notes."""
    return [Operator(node.name, node.op_type, _layer(node)) for node in model.graph.node]


def _layer(node: onnx.NodeProto) -> str:
    notes = {entry.key: entry.value for entry in node.metadata_props}
    if _SCOPES not in notes:
        return str(node.name)
    _, *layers, _ = ast.literal_eval(notes[_SCOPES])
    return layers[-1] if layers else ROOT


def take_weights(model: onnx.ModelProto, other: onnx.ModelProto, nodes: Collection[str]) -> onnx.ModelProto:
    """Return a graph whose nodes of these names have the weights that they have in another export of it."""
    wanted = {name for node in model.graph.node if node.name in nodes for name in node.input}
    theirs = {tensor.name: tensor for tensor in other.graph.initializer}
    mixed = onnx.ModelProto()
    mixed.CopyFrom(model)
    for tensor in mixed.graph.initializer:
        if tensor.name in wanted:
            tensor.CopyFrom(theirs[tensor.name])
    return mixed
