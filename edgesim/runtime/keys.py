"""The key model of an asymmetric index: its vectors are computed on a PC by a large encoder, and looked up by
those of the small one, which was trained to land on them.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.model_spec import ModelSpec


class ImageEmbedder(Protocol):
    """What adding images needs of an encoder; `Embedder` is one."""

    def load(self, source: bytes, /, name: str | None = None) -> NDArray[np.uint8]:
        """Return what the encoder sees of an image file's bytes, (S, S, 3) uint8; for use in many threads.

        `name` is what messages call the image. Raises `ImageError`.
        """
        ...

    def embed_pixels(self, pixels: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Return the L2-normalised embeddings (N, D) of (N, S, S, 3) uint8; for use in one thread."""
        ...


class KeyEncoder(ImageEmbedder, Protocol):
    """A key model that can be run, as `edgesim.training.key_embedder.KeyEmbedder` can where torch is.

    Attributes:
        spec: its name, preprocessing and embedding size.
        encoder_id: see `ModelSpec.encoder_id`.
    """

    spec: ModelSpec
    encoder_id: str


@dataclasses.dataclass(frozen=True)
class KeyModel:
    """What an index remembers about its key model: name and identity (`ModelSpec.encoder_id`)."""

    name: str
    encoder_id: str

    @classmethod
    def of(cls, encoder: KeyEncoder) -> KeyModel:
        """Return what is to be remembered about a key model."""
        return cls(encoder.spec.name, encoder.encoder_id)

    @property
    def title(self) -> str:
        """Name and identity, as messages print them."""
        return f"{self.name} ({self.encoder_id})"
