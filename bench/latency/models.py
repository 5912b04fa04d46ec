"""The model files whose instructions are counted: made once, kept in a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch

from edgesim.files import write_atomic
from edgesim.latency_data import Cost
from edgesim.models.cost import layer_cost
from edgesim.models.encoder import Encoder, for_export
from edgesim.models.zoo import load_model
from edgesim_export import tflite_graph
from edgesim_export.conversion import convert
from edgesim_export.recipe import load_recipe
from latency.ncnn_file import ncnn_file
from latency.networks import NETWORKS, Network

# Of edgesim's own architectures, one of each kind: what users export.
ENCODERS = ("copy", "photo", "hybrid", "hybrid_3", "involution", "residual", "convolution")
CALIBRATION_IMAGES = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A network for one engine or more.

    Attributes:
        network: its name.
        arithmetic: `int8` or `float`.
        engines: that its instructions are counted in.
        path: the file.
    """

    network: str
    arithmetic: str
    engines: tuple[str, ...]
    path: Path


def build(name: str) -> Network | Encoder:
    """Return a network with random weights, always the same, in evaluation mode."""
    torch.manual_seed(0)
    if name in NETWORKS:
        return NETWORKS[name]().eval()
    return for_export(Encoder(load_model(name)))


def cost(name: str) -> Cost:
    """Return what a network does for one image."""
    network = build(name)
    return layer_cost(network, int(network.config.input_size))


def model_files(folder: Path) -> Iterator[ModelFile]:
    """Yield every model file; those that are not in `folder` yet are made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*NETWORKS, *ENCODERS):
        yield from _int8_files(name, folder)
    for name in NETWORKS:
        path = folder / f"{name}_float.tflite"
        if not path.exists():
            write_atomic(path, tflite_graph.export_float(cast(Encoder, build(name))))
        yield ModelFile(network=name, arithmetic="float", engines=("litert",), path=path)
        for arithmetic in ("float", "int8"):
            path = folder / f"{name}_{arithmetic}.param"
            network = build(name)
            assert isinstance(network, Network)
            write_atomic(path, ncnn_file(network, arithmetic).encode())
            yield ModelFile(network=name, arithmetic=arithmetic, engines=("ncnn",), path=path)


def _int8_files(name: str, folder: Path) -> Iterator[ModelFile]:
    formats = {"onnx": ("onnxruntime",), "tflite": ("litert", "tflite-runtime")}
    for suffix, engines in formats.items():
        path = folder / f"{name}_int8.{suffix}"
        if not path.exists():
            network = cast(Encoder, build(name))
            shape = (CALIBRATION_IMAGES, network.config.input_size, network.config.input_size, 3)
            images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
            write_atomic(path, convert(network, images, load_recipe(f"{suffix}_static_w8a8_pc")).content)
        yield ModelFile(network=name, arithmetic="int8", engines=engines, path=path)
