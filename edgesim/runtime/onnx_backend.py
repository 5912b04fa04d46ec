"""Adapter for ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import BundleError
from edgesim.model_spec import ModelSpec
from edgesim.preprocess import normalise


class OnnxBackend:
    """An ONNX model, float32 (N, 3, S, S) in and (N, D) out, in ONNX Runtime on the CPU.

    ONNX Runtime's defaults for the memory arena and the memory pattern are kept: without them a warm
    inference took half as long again, and the peak memory of a query stayed the same.

    Raises:
        BundleError: this version of the engine cannot load the file, or it is no encoder.
    """

    engine = "onnxruntime"

    def __init__(self, model: Path, threads: int = 1) -> None:
        # Read at the import: its newer Linux builds write telemetry files otherwise.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        self.version: str = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only, and those come as exceptions
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exception classes differ between versions
            detail = " ".join(str(error).split())
            raise BundleError(f"{model}: onnxruntime {self.version} cannot load it ({detail})") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise BundleError(f"{model}: expected a model with one input, got {len(inputs)}")
        self._input: str = inputs[0].name

    def prepare(self, pixels: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.float32]:
        """Return the normalised images (N, 3, S, S) of pixels (N, S, S, 3)."""
        return np.ascontiguousarray(normalise(pixels, spec).transpose(0, 3, 1, 2))

    def infer(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the raw embeddings (N, D) of normalised images (N, 3, S, S), N at least 1.

        One image at a time: so the result for an image cannot depend on the others, a model with a fixed
        batch of 1 works too, and on one thread a batch of 16 was no faster but took 30 MB more.
        """
        rows = [self._session.run(None, {self._input: image[None]})[0] for image in images]
        return np.concatenate(rows)
