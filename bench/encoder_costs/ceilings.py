"""What this machine's one thread can do at most: a large matrix product in each engine, and a copy of memory.

The product is a stack of 1x1 convolutions, which engines compute as one matrix product each, exported by
edgesim's converters: pixels x channels by channels x channels. No shape is the best for every engine: the
best of a few counts as the ceiling.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from edgesim.engines import ENGINES
from edgesim.models.encoder import Encoder

SIDE, LAYERS = 32, 4
WIDTHS = (256, 512)
# Of a buffer that lies in memory, and of two that fit into a core's second cache together.
BUFFERS = {"memory": 2**28, "cache": 2**18}


class Product(NamedTuple):
    """A file that does little but multiply matrices."""

    engine: str
    arithmetic: str
    path: Path


class Products(nn.Module):
    """Images (N, 3, 32, 32) to (N, C): matrix products of (1024, C) by (C, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [3, *[width] * (LAYERS + 1)]
        self.layers = nn.Sequential(*(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(widths)))
        self.config = SimpleNamespace(input_size=SIDE)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply, and average over the pixels."""
        y: Tensor = self.layers(x).mean((2, 3))
        return y


def product_files(folder: Path) -> Iterator[Product]:
    """Make the files of every shape, engine and arithmetic in an empty folder, and yield them."""
    for width in WIDTHS:
        for engine in ("litert", "onnxruntime"):
            for arithmetic in ("int8", "float32"):
                path = folder / f"product_{width}_{arithmetic}.{ENGINES[engine].model_format}"
                _write(path, width, arithmetic)
                yield Product(engine, arithmetic, path)


@torch.no_grad()
def _write(path: Path, width: int, arithmetic: str) -> None:
    from edgesim_export import onnx_graph, tflite_graph
    from edgesim_export.conversion import convert
    from edgesim_export.recipe import load_recipe

    torch.manual_seed(0)
    # All that the converters ask of an encoder is its input size.
    network = cast(Encoder, Products(width).eval())
    if arithmetic == "int8":
        images = np.random.default_rng(0).standard_normal((2, SIDE, SIDE, 3)).astype(np.float32)
        recipe = load_recipe(f"{path.suffix[1:]}_static_w8a8_pc")
        path.write_bytes(convert(network, images, recipe).content)
    elif path.suffix == ".onnx":
        onnx_graph.export_float(network, path)
    else:
        path.write_bytes(tflite_graph.export_float(network))
