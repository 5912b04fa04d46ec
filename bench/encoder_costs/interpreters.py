"""A model file, edgesim's or another's, in its inference engine alone, on one thread."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.engines import ENGINES


class TfliteModel:
    """A TFLite file: RGB bytes in, the dequantised output, flattened, out.

    Args:
        path: the file.
        engine: `litert` or `tflite-runtime`.
    """

    def __init__(self, path: Path, engine: str = "litert") -> None:
        interpreter = importlib.import_module(f"{ENGINES[engine].module}.interpreter").Interpreter
        self._interpreter = interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        (self.entry,) = self._interpreter.get_input_details()
        self._output: dict[str, Any] = self._interpreter.get_output_details()[0]
        self._interpreter.set_tensor(self.entry["index"], np.zeros(self.entry["shape"], self.entry["dtype"]))

    def invoke(self) -> NDArray[Any]:
        """Run on the input that is set, zeros at first."""
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output["index"]))

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the output (D,) for one picture (S, S, 3); int8 inputs take the bytes less 128."""
        shift = 128 if self.entry["dtype"] == np.int8 else 0
        values = (pixels.astype(np.int16) - shift).astype(self.entry["dtype"])
        self._interpreter.set_tensor(self.entry["index"], values[None])
        output = self.invoke().reshape(-1).astype(np.float32)
        scale, zero_point = self._output["quantization"]
        return (output - np.float32(zero_point)) * np.float32(scale) if scale else output


def onnx_session(path: Path) -> tuple[Any, str]:
    """Return an ONNX Runtime session of one thread, and the name of its input."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session, session.get_inputs()[0].name


def invocation(path: Path, side: int, engine: str | None = None) -> Callable[[], object]:
    """Return a function that runs a model on one picture of zeros.

    Args:
        path: a TFLite or ONNX file.
        side: of the picture, where an ONNX model leaves it open.
        engine: of a TFLite file; LiteRT by default.
    """
    if path.suffix == ".tflite":
        return TfliteModel(path, engine or "litert").invoke
    session, name = onnx_session(path)
    (entry,) = session.get_inputs()
    shape = [size if isinstance(size, int) else side if axis else 1 for axis, size in enumerate(entry.shape)]
    zeros = np.zeros(shape, np.uint8 if entry.type == "tensor(uint8)" else np.float32)
    return lambda: session.run(None, {name: zeros})
