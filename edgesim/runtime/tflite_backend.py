"""Adapter for the two engines that run TFLite files: LiteRT, and tflite-runtime, its predecessor."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.engines import ENGINES
from edgesim.errors import BundleError, MissingDependencyError
from edgesim.model_spec import ModelSpec
from edgesim.preprocess import normalise


class TfliteBackend:
    """A TFLite model, (1, S, S, 3) in and (1, D) out, both int8 or both float32, on the CPU.

    Raises:
        BundleError: this version of the engine cannot load the file, or it is no encoder.
        MissingDependencyError: tflite-runtime beside numpy 2, which it cannot work with.
    """

    def __init__(self, model: Path, engine: str, threads: int = 1) -> None:
        self.engine = engine
        if engine == "tflite-runtime" and int(np.__version__.split(".")[0]) >= 2:
            raise MissingDependencyError(
                f"tflite-runtime does not work with numpy {np.__version__}. "
                "Run: pip install 'numpy<2' or: pip install 'edgesim[tflite]'"
            )
        interpreter_class = importlib.import_module(f"{ENGINES[engine].module}.interpreter").Interpreter
        try:
            with _stderr_silenced():
                self._interpreter = interpreter_class(model_path=str(model), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            detail = " ".join(str(error).split())
            raise BundleError(f"{model}: {engine} {self.version} cannot load it ({detail})") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if (len(inputs), len(outputs)) != (1, 1):
            raise BundleError(
                f"{model}: expected a model with one input and output, got {len(inputs)} and {len(outputs)}"
            )
        (self._input,), (self._output,) = inputs, outputs

    @functools.cached_property
    def version(self) -> str:
        """The engine's version; looked up when asked for, since that costs milliseconds."""
        from importlib import metadata

        return metadata.version(ENGINES[self.engine].package)

    def prepare(self, pixels: NDArray[np.uint8], spec: ModelSpec) -> NDArray[Any]:
        """Return the input (N, S, S, 3) of pixels (N, S, S, 3): normalised, and quantised if the model is."""
        if self._input["dtype"] == np.float32:
            return normalise(pixels, spec)
        # Looked up, an image takes a small part of the time of computing each pixel.
        steps = _steps_of_bytes(spec, *self._input["quantization"])
        return np.stack([np.take(steps[:, channel], pixels[..., channel]) for channel in range(3)], axis=-1)

    def infer(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the raw embeddings (N, D) of inputs (N, S, S, 3), N at least 1."""
        return np.concatenate([self._infer_one(image[None]) for image in images])

    def _infer_one(self, image: NDArray[Any]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input["index"], image)
        self._interpreter.invoke()
        return _from_tensor(self._interpreter.get_tensor(self._output["index"]), self._output)


def _from_tensor(values: NDArray[Any], details: dict[str, Any]) -> NDArray[np.float32]:
    if details["dtype"] == np.float32:
        return np.asarray(values, dtype=np.float32)
    scale, zero_point = details["quantization"]
    return np.asarray((values.astype(np.float32) - zero_point) * np.float32(scale), dtype=np.float32)


@functools.cache
def _steps_of_bytes(spec: ModelSpec, scale: float, zero_point: int) -> NDArray[np.int8]:
    """Return what each of a byte's 256 values becomes in each channel, (256, 3)."""
    values = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return quantise(normalise(values, spec), scale, zero_point)


def quantise(values: NDArray[np.float32], scale: float, zero_point: int) -> NDArray[np.int8]:
    """Return `values / scale + zero_point` as int8, clamped to -128..127.

    Halves are rounded away from zero, as the reference kernel of TFLite's own operator QUANTIZE does; an
    optimised kernel may round them to even, which differs by one step on exact halves only.
    """
    scaled = values / np.float32(scale)
    # In float64, as 0.5 added to the float32 just below it would give 1.
    rounded = np.trunc(scaled.astype(np.float64) + np.copysign(0.5, scaled))
    return np.asarray(np.clip(rounded + zero_point, -128, 127), dtype=np.int8)


@contextlib.contextmanager
def _stderr_silenced() -> Iterator[None]:
    """Drop what is written to file descriptor 2, from C++ too.

    While loading, the engines print a line of INFO there and offer no switch for it; their errors come as
    exceptions.
    """
    try:
        saved = os.dup(2)
    except OSError:  # closed already: nothing to drop
        yield
        return
    sys.stderr.flush()
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
