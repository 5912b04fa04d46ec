"""Encoders: an image in, an embedding out. The layers between are settings, `EncoderConfig`.

The compact ones are after the hybrid of Islam et al. 2024 (arXiv 2404.06593): one involution on the input,
then four convolutions with a growing number of filters, GELU instead of ReLU, about 0.116 M parameters. The
paper's text gives neither widths nor kernel sizes nor strides; those in edgesim/models/zoo are our choice.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgesim.model_spec import ModelSpec
from edgesim.models.involution import ExportedInvolution, Involution
from edgesim.models.pretrained import EFFICIENTNETS
from edgesim.models.stages import ACTIVATIONS, ConvBlock, ResidualInvolution, Stage
from edgesim.preprocess import normalise, resize_pixels


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Architecture of an `Encoder`. Raises `ValueError` if the parts do not fit together.

    Attributes:
        input_size: S, side of the square RGB input in pixels; a multiple of `patch` times all strides.
        patch: the input's patch x patch blocks become channels before the first stage (space to depth): a
            photo keeps its detail while costly layers see fewer pixels. 1 leaves the input as it is.
        stages: the layers, in order; their output is averaged over the picture.
        embedding_dim: D, of the linear layer at the end.
        activation: `gelu` or `relu`.
    """

    input_size: int
    stages: tuple[Stage, ...]
    patch: int = 1
    embedding_dim: int = 128
    activation: str = "gelu"

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("stages must hold one at least, got none")
        for name in ("patch", "embedding_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        step = self.patch * math.prod(stage.stride for stage in self.stages)
        if self.input_size < 1 or self.input_size % step:
            raise ValueError(
                f"input_size must be a multiple of patch * strides, {step}, got {self.input_size}"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be {' or '.join(ACTIVATIONS)}, got {self.activation!r}")
        alone = len(self.stages) == 1 and self.patch == 1
        if not alone and any(stage.kind in EFFICIENTNETS for stage in self.stages):
            raise ValueError("a pretrained backbone must be the only stage, and patch 1")
        channels = self.channels
        for stage in self.stages:
            if stage.kind == "involution" and channels % stage.groups:
                raise ValueError(
                    f"groups must divide the involution's {channels} channels, got {stage.groups}"
                )
            channels = stage.width or channels

    @property
    def channels(self) -> int:
        """Channels that the first stage gets: the colours of every pixel of a patch."""
        return 3 * self.patch**2

    @property
    def pretrained(self) -> bool:
        """Whether it is a backbone that was trained by others."""
        return self.stages[0].kind in EFFICIENTNETS

    def shares_weights(self, other: EncoderConfig) -> bool:
        """Whether one's weights are the other's: the mean over the picture leaves the input size free."""
        return dataclasses.replace(other, input_size=self.input_size) == self

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**dataclasses.asdict(self), "stages": [dataclasses.asdict(stage) for stage in self.stages]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EncoderConfig:
        """Build a configuration from `to_dict`'s result."""
        return cls(**{**values, "stages": tuple(Stage(**stage) for stage in values["stages"])})


class Encoder(nn.Module):
    """Images to embeddings; see the head of this file.

    `forward` returns the embedding before L2 normalisation, which is what export ships: the length is divided
    out on the host. Training and evaluation call `embed`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.patches: nn.Module = nn.PixelUnshuffle(config.patch) if config.patch > 1 else nn.Identity()
        channels = config.channels
        layers: list[nn.Module] = []
        for stage in config.stages:
            layers += stage.build(channels, config.activation)
            channels = stage.width or channels
        self.stages = nn.Sequential(*layers)
        self.embedding = nn.Linear(channels, config.embedding_dim)

    def features(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, S, S) to what the linear embedding gets, (N, F)."""
        features: Tensor = self.stages(self.patches(images)).mean(dim=(2, 3))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, S, S) to embeddings (N, D), not yet L2-normalised."""
        embedding: Tensor = self.embedding(self.features(images))
        return embedding

    def embed(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, S, S) to L2-normalised embeddings (N, D)."""
        return functional.normalize(self(images), dim=1)


def for_export(encoder: Encoder) -> Encoder:
    """Return a copy in evaluation mode that computes the same numbers in the form that converts best.

    BatchNorm is folded into the convolution before it, patches are made by a convolution of zeros and ones,
    and involutions become `ExportedInvolution`. A copy made for export can be passed again.
    """
    exported = copy.deepcopy(encoder).eval()
    if isinstance(exported.patches, nn.PixelUnshuffle):
        exported.patches = _patch_convolution(encoder.config.patch)
    for layer in exported.modules():
        if isinstance(layer, ConvBlock):
            layer.fold_batch_norm()
        if isinstance(layer, ResidualInvolution) and isinstance(layer.involution, Involution):
            layer.involution = ExportedInvolution(layer.involution)
    return exported


def _patch_convolution(patch: int) -> nn.Conv2d:
    """Return `nn.PixelUnshuffle` as one operator instead of the seven that it converts to."""
    convolution = nn.Conv2d(3, 3 * patch**2, patch, patch, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.eye(3 * patch**2).view(-1, 3, patch, patch))
    return convolution


def network_input(pixels: NDArray[np.uint8], spec: ModelSpec, device: torch.device) -> Tensor:
    """Return what a network of this spec takes, (N, 3, S, S) float32, from images (N, H, W, 3) uint8."""
    resized = resize_pixels(pixels, spec.input_size)
    return torch.from_numpy(normalise(resized, spec)).permute(0, 3, 1, 2).to(device)


@torch.no_grad()
def embed_pixels(
    encoder: Encoder, spec: ModelSpec, pixels: NDArray[np.uint8], batch_size: int = 256
) -> NDArray[np.float32]:
    """Return the L2-normalised embeddings (N, D) of uint8 images (N, H, W, 3), resized where needed."""
    device = next(encoder.parameters()).device
    found = []
    for start in range(0, len(pixels), batch_size):
        batch = network_input(pixels[start : start + batch_size], spec, device)
        found.append(encoder.embed(batch).cpu().numpy())
    return np.asarray(np.concatenate(found), dtype=np.float32)
