"""The seam between edgesim and the inference engines: what an adapter must offer."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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

    def infer(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the raw embeddings (N, D) of normalised images (N, S, S, 3), both float32.

        The embeddings are not yet L2-normalised. The result for an image does not depend on the others.
        """
        ...
