"""The seam between edgesim and the inference engines: what an adapter must offer."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.model_spec import ModelSpec


class Backend(Protocol):
    """A loaded model file in one engine.

    Attributes:
        engine: the engine's name: `onnxruntime`, `litert` or `tflite-runtime`.
    """

    engine: str

    @property
    def version(self) -> str:
        """The engine's version."""
        ...

    def prepare(self, pixels: NDArray[np.uint8], spec: ModelSpec) -> NDArray[Any]:
        """Return what the network takes, N of it, from RGB pixels (N, S, S, 3): normalised by the spec."""
        ...

    def infer(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the raw embeddings (N, D), float32, of what `prepare` returned, N at least 1.

        The embeddings are not yet L2-normalised. The result for an image does not depend on the others.
        """
        ...
