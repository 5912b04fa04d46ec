"""The float encoder as an ONNX graph."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch

from edgesim.models.encoder import Encoder
from edgesim_export.quiet import quiet

INPUT, OUTPUT = "images", "embeddings"
# The first operator set with Gelu. ONNX Runtime reads it from 1.17 on.
OPSET = 20


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
