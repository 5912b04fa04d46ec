"""A small real encoder for the tests: an ONNX model, and the same computation written out in NumPy."""

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgesim.bundle import Bundle
from edgesim.bundle_writing import golden_bytes, write_bundle
from edgesim.model_spec import ModelSpec
from edgesim.runtime.engines import ENGINES

ROOT = Path(__file__).parents[1]
# All of them can be installed on the oldest Python; tflite-runtime ends with it.
INSTALLED_ENGINES = ENGINES if sys.version_info < (3, 12) else ENGINES[:2]
SIZE = 32
DIM = 16
_WIDTH = 8


@dataclasses.dataclass(frozen=True)
class TinyEncoder:
    """A 3x3 convolution with stride 2 and ReLU, mean over the picture, linear; weights by the seed."""

    seed: int = 0

    def spec(self) -> ModelSpec:
        return ModelSpec(name=f"tiny-{self.seed}", input_size=SIZE, embedding_dim=DIM)

    def weights(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        shapes = {"conv": (_WIDTH, 3, 3, 3), "shift": (_WIDTH,), "linear": (_WIDTH, DIM), "bias": (DIM,)}
        return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}

    def onnx(self, batch: int | str = "N") -> bytes:
        nodes = [
            helper.make_node("Conv", ["images", "conv", "shift"], ["c"], pads=[1] * 4, strides=[2, 2]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("ReduceMean", ["r", "axes"], ["m"], keepdims=0),
            helper.make_node("Gemm", ["m", "linear", "bias"], ["embedding"]),
        ]
        tensors = {**self.weights(), "axes": np.array([2, 3], dtype=np.int64)}
        graph = helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, DIM])],
            [numpy_helper.from_array(array, name) for name, array in tensors.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """Return the L2-normalised embedding (D,) of one picture (S, S, 3), uint8, in float64."""
        spec, w = self.spec(), self.weights()
        x = (pixels / 255.0 - np.array(spec.mean)) / np.array(spec.std)
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))[::2, ::2]
        features = np.einsum("hwcuv,ocuv->hwo", windows, w["conv"].astype(np.float64)) + w["shift"]
        raw = np.maximum(features, 0).mean(axis=(0, 1)) @ w["linear"] + w["bias"]
        return raw / np.sqrt((raw**2).sum())


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def photo(seed: int, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """Return a picture of a few coloured fields: (height, width, 3), uint8, another for each seed."""
    fields = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.kron(fields, np.ones((height // 4, width // 4, 1), dtype=np.uint8))


def write_photos(folder: Path, count: int, start: int = 0) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed:04d}.png" for seed in range(start, start + count)]
    for seed, path in enumerate(paths, start):
        path.write_bytes(png(photo(seed)))
    return paths


def write_tiny_bundle(folder: Path, seed: int = 0, batch: int | str = "N") -> Bundle:
    """Write a bundle of a `TinyEncoder`; another seed is another encoder."""
    encoder = TinyEncoder(seed)
    pictures = [photo(1000 + i) for i in range(3)]
    golden = np.stack([encoder.embed(pixels) for pixels in pictures]).astype(np.float32)
    return write_bundle(
        folder,
        spec=encoder.spec(),
        encoder_id=encoder.spec().encoder_id(f"seed {seed}"),
        models={"onnx": {"file": "model.onnx", "quantisation": "none"}},
        recipe={"name": "float"},
        gates=[{"gate": "size", "model": "onnx", "value": 3000, "limit": 1000000, "passed": True}],
        made_by={"tests": "1"},
        files={
            "model.onnx": encoder.onnx(batch),
            "golden.npz": golden_bytes([png(pixels) for pixels in pictures], {"onnx": golden}),
            "model_card.md": b"Random weights, for tests.\n",
        },
    )


def run_python(
    *arguments: str | Path, cwd: Path | None = None, own_mounts: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run this Python in a process of its own, with the tree that is tested on its path.

    With `own_mounts` it may mount file systems, which nobody else sees; fails if that cannot be had.
    """
    return subprocess.run(
        [*(_unshare() if own_mounts else []), sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def _unshare() -> list[str]:
    for command in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    raise AssertionError("unshare --mount works neither as this user nor with --user --map-root-user")
