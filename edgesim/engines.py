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
        requirements: what pip is asked for, the versions that edgesim works with.
        architectures: those that it has wheels for, as `uname -m` prints them.
        last_python: the newest Python that it has wheels for; None for one that keeps up with Python.
    """

    model_format: str
    module: str
    package: str
    cure: str
    requirements: tuple[str, ...]
    architectures: tuple[str, ...]
    last_python: str | None = None

    def has_wheels(self, architecture: str, python: str) -> bool:
        """Return whether wheels for that architecture and Python, such as `3.11`, can exist."""
        if self.last_python and version_key(python) > version_key(self.last_python):
            return False
        return architecture in self.architectures


def version_key(version: str) -> tuple[int, ...]:
    """Return `3.11` as (3, 11), which sorts as versions do."""
    return tuple(int(part) for part in version.split("."))


# The preferred one first: our choice, by the speed of an int8 encoder on a desktop CPU.
ENGINES = {
    "onnxruntime": Engine(
        "onnx",
        "onnxruntime",
        "onnxruntime",
        "pip install 'onnxruntime>=1.20,<1.30'",
        ("onnxruntime>=1.20,<1.30",),
        ("aarch64", "x86_64"),
    ),
    "litert": Engine(
        "tflite",
        "ai_edge_litert",
        "ai-edge-litert",
        "pip install 'edgesim[tflite]'",
        ("ai-edge-litert>=2.1",),
        ("aarch64", "x86_64"),
    ),
    "tflite-runtime": Engine(
        "tflite",
        "tflite_runtime",
        "tflite-runtime",
        "pip install 'tflite-runtime==2.14.0' 'numpy<2'",
        ("tflite-runtime==2.14.0", "numpy<2"),
        ("aarch64", "armv7l", "x86_64"),
        last_python="3.11",
    ),
}
