"""The compact encoder: one involution layer on the input, four convolutions, GELU, a linear embedding.

After the hybrid of Islam et al. 2024 (arXiv 2404.06593): involution first, then convolutions with a growing
number of filters, GELU instead of ReLU, about 0.116 M parameters. The paper's text gives neither widths nor
kernel sizes nor strides; those here, the patches, the residual and BatchNorm are our choice.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgesim.models.involution import Involution

_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Architecture of a `CompactEncoder`.

    Attributes:
        input_size: S, side of the square RGB input in pixels.
        patch: the input's patch x patch blocks become channels before the involution (space to depth): a
            photo keeps its detail while the costly layer sees fewer pixels. 1 leaves the input as it is.
        involution_kernel: K of the involution; 0 leaves the layer out.
        involution_groups: G of the involution.
        involution_reduction: r of the involution.
        widths: output channels of the 3x3 convolutions.
        strides: their strides; patch times their product must divide `input_size`.
        embedding_dim: D.
        activation: `gelu` or `relu`.
    """

    input_size: int = 128
    patch: int = 2
    involution_kernel: int = 3
    involution_groups: int = 1
    involution_reduction: int = 4
    widths: tuple[int, ...] = (16, 32, 64, 128)
    strides: tuple[int, ...] = (2, 2, 2, 1)
    embedding_dim: int = 128
    activation: str = "gelu"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EncoderConfig:
        """Build a configuration from `to_dict`'s result."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


class CompactEncoder(nn.Module):
    """Images to embeddings; see the head of this file.

    `forward` returns the embedding before L2 normalisation, which is what export ships: the length is divided
    out on the host. Training and evaluation call `embed`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = 3 * config.patch**2
        self.patches = nn.PixelUnshuffle(config.patch) if config.patch > 1 else nn.Identity()
        self.involution = (
            Involution(
                channels,
                kernel_size=config.involution_kernel,
                groups=config.involution_groups,
                reduction=config.involution_reduction,
            )
            if config.involution_kernel
            else None
        )
        layers: list[nn.Module] = []
        for width, stride in zip(config.widths, config.strides, strict=True):
            layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)]
            layers += [_ACTIVATIONS[config.activation]()]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.embedding = nn.Linear(channels, config.embedding_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, S, S) to embeddings (N, D), not yet L2-normalised."""
        x = self.patches(images)
        if self.involution is not None:
            x = x + self.involution(x)
        features = self.convolutions(x).mean(dim=(2, 3))
        embedding: Tensor = self.embedding(features)
        return embedding

    def embed(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, S, S) to L2-normalised embeddings (N, D)."""
        return functional.normalize(self(images), dim=1)


def for_export(encoder: CompactEncoder) -> CompactEncoder:
    """Return a copy in evaluation mode that computes the same numbers in the form that converts best.

    BatchNorm is folded into the convolution before it, and the involution becomes a matrix product.
    """
    exported = copy.deepcopy(encoder).eval()
    layers = list(exported.convolutions)
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            folded[-1] = nn.utils.fusion.fuse_conv_bn_eval(folded[-1], layer)
        else:
            folded.append(layer)
    exported.convolutions = nn.Sequential(*folded)
    if exported.involution is not None:
        involution = exported.involution
        involution.reduce = nn.utils.fusion.fuse_conv_bn_eval(involution.reduce, involution.norm)
        involution.norm = nn.Identity()
        involution.exportable = True
    return exported


def parameter_count(encoder: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)


@torch.no_grad()
def embed_batches(encoder: CompactEncoder, images: Tensor, batch_size: int = 256) -> Tensor:
    """Return the L2-normalised embeddings (N, D) of normalised images (N, 3, S, S), batch by batch."""
    return torch.cat([encoder.embed(batch) for batch in images.split(batch_size)])
