"""The inference engines that edgesim can use: names and facts only, none is imported here."""

from __future__ import annotations

from typing import NamedTuple


class Engine(NamedTuple):
    """One inference engine.

    Attributes:
        model_format: the format of model file that it runs: `onnx` or `tflite`.
        module: the top-level module that is imported.
        package: the package's name, as pip knows it.
        cure: the command that installs it.
    """

    model_format: str
    module: str
    package: str
    cure: str


# The preferred one first: our choice, by the speed of an int8 encoder on a desktop CPU.
ENGINES = {
    "onnxruntime": Engine("onnx", "onnxruntime", "onnxruntime", "pip install 'onnxruntime>=1.20,<1.30'"),
    "litert": Engine("tflite", "ai_edge_litert", "ai-edge-litert", "pip install 'edgesim[tflite]'"),
    "tflite-runtime": Engine(
        "tflite", "tflite_runtime", "tflite-runtime", "pip install 'tflite-runtime==2.14.0' 'numpy<2'"
    ),
}
