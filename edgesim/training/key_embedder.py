"""The keys of an asymmetric index: from photos to embeddings by the float encoder of a training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import BundleError
from edgesim.model_spec import PREPROCESS_VERSION
from edgesim.models.encoder import embed_pixels
from edgesim.preprocess import load_pixels
from edgesim.training.checkpoint import load_encoder, weights_sha256
from edgesim.training.device import pick_device


class KeyEmbedder:
    """Computes embeddings with a run's encoder, on a GPU if there is one.

    Attributes:
        spec: the encoder's name, preprocessing and embedding size.
        encoder_id: the same that its bundle would have, see `ModelSpec.encoder_id`.

    Args:
        run: a run folder, or its `encoder.pt`.

    Raises:
        BundleError: no such file, damaged, or trained with another preprocessing.
    """

    def __init__(self, run: Path) -> None:
        encoder, self.spec = load_encoder(run)
        if self.spec.preprocess_version != PREPROCESS_VERSION:
            raise BundleError(
                f"{run}: trained with preprocessing version {self.spec.preprocess_version}, this edgesim has "
                f"version {PREPROCESS_VERSION}; install the matching edgesim or train it again"
            )
        self.encoder_id = self.spec.encoder_id(weights_sha256(encoder))
        self._encoder = encoder.to(pick_device("auto"))

    def load(self, source: Path | bytes, name: str | None = None) -> NDArray[np.uint8]:
        """Return what the encoder sees of one image, (S, S, 3) uint8, a path or the bytes of an image file.

        `name` is what messages call the image, by default its path. Raises `ImageError`.
        """
        return load_pixels(source, self.spec.input_size, name)

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the L2-normalised embeddings (N, D) of (N, S, S, 3) uint8."""
        return embed_pixels(self._encoder, self.spec, pixels)
