"""The compact encoder: one involution layer on the input, four convolutions, GELU, a linear embedding.

After the hybrid of Islam et al. 2024 (arXiv 2404.06593): involution first, then convolutions with a growing
number of filters, GELU instead of ReLU, about 0.116 M parameters. The paper's text gives neither widths nor
kernel sizes nor strides; those here, the patches, the residual and BatchNorm are our choice.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from edgesim.model_spec import ModelSpec
from edgesim.models.involution import Involution
from edgesim.preprocess import normalise, resize_image

_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}
_COUNTS = ("patch", "involution_groups", "involution_reduction", "widths", "strides", "embedding_dim")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Architecture of a `CompactEncoder`. Raises `ValueError` if the parts do not fit together.

    Attributes:
        input_size: S, side of the square RGB input in pixels; a multiple of `patch` times all strides.
        patch: the input's patch x patch blocks become channels before the involution (space to depth): a
            photo keeps its detail while the costly layer sees fewer pixels. 1 leaves the input as it is.
        involution_kernel: K of the involution, odd; 0 leaves the layer out.
        involution_groups: G of the involution, a divisor of its 3 * patch**2 channels.
        involution_reduction: r of the involution.
        widths: output channels of the 3x3 convolutions.
        strides: their strides, as many as there are widths.
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

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.strides) or not self.widths:
            raise ValueError(f"widths and strides must be equally many, got {self.widths} and {self.strides}")
        for name in _COUNTS:
            if np.min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        step = self.patch * math.prod(self.strides)
        if self.input_size < 1 or self.input_size % step:
            raise ValueError(
                f"input_size must be a multiple of patch * strides, {step}, got {self.input_size}"
            )
        if self.involution_kernel and (self.involution_kernel < 0 or self.involution_kernel % 2 == 0):
            raise ValueError(f"involution_kernel must be odd, or 0 for none, got {self.involution_kernel}")
        if self.involution_kernel and self.channels % self.involution_groups:
            raise ValueError(
                f"involution_groups must divide the {self.channels} channels, 3 * patch**2, "
                f"got {self.involution_groups}"
            )
        if self.activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be {' or '.join(_ACTIVATIONS)}, got {self.activation!r}")

    @property
    def channels(self) -> int:
        """Channels of the involution's input: the colours of every pixel of a patch."""
        return 3 * self.patch**2

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EncoderConfig:
        """Build a configuration from `to_dict`'s result."""
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)


class CompactEncoder(nn.Module):
    """Images to embeddings; see the head of this file.

    `forward` returns the embedding before L2 normalisation, which is what export ships: the length is divided
    out on the host. Training and evaluation call `embed`.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
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
    folded: list[nn.Module] = []
    for layer in exported.convolutions:
        if isinstance(layer, nn.BatchNorm2d):
            folded[-1] = nn.utils.fusion.fuse_conv_bn_eval(cast(nn.Conv2d, folded[-1]), layer)
        else:
            folded.append(layer)
    exported.convolutions = nn.Sequential(*folded)
    involution = exported.involution
    if involution is not None and isinstance(involution.norm, nn.BatchNorm2d):
        involution.reduce = nn.utils.fusion.fuse_conv_bn_eval(involution.reduce, involution.norm)
        involution.norm = nn.Identity()
        involution.exportable = True
    return exported


def parameter_count(encoder: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)


@torch.no_grad()
def embed_pixels(
    encoder: CompactEncoder, spec: ModelSpec, pixels: NDArray[np.uint8], batch_size: int = 256
) -> NDArray[np.float32]:
    """Return the L2-normalised embeddings (N, D) of uint8 images (N, H, W, 3), resized where needed."""
    device = next(encoder.parameters()).device
    if pixels.shape[1] != spec.input_size:
        pixels = np.stack([resize_image(Image.fromarray(image), spec.input_size) for image in pixels])
    found = []
    for start in range(0, len(pixels), batch_size):
        batch = normalise(pixels[start : start + batch_size], spec)
        found.append(encoder.embed(torch.from_numpy(batch).permute(0, 3, 1, 2).to(device)).cpu().numpy())
    return np.asarray(np.concatenate(found), dtype=np.float32)
