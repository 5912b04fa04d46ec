"""A first embedding for a backbone that was trained elsewhere: its features' principal components.

Features of an ImageNet backbone all point much the same way. Centred, turned to their principal components
and each divided by the square root of its standard deviation, half way to whitening, they tell images apart
better than as they are; how far to whiten, and on how many images, is our choice.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, network_input
from edgesim.training.device import autocast
from edgesim.training.key_pictures import Pictures

IMAGES = 5_000
# More at a time are slower on a CPU: what a layer leaves for the next does not stay in the cache.
_BATCH = 64


@torch.no_grad()
def backbone_features(
    encoder: Encoder, spec: ModelSpec, pictures: Pictures, device: torch.device, precision: str
) -> Tensor:
    """Return what the encoder's linear embedding gets, (N, F) in 16 bits, of pictures (N, S, S, 3) uint8."""
    encoder.eval()
    parts = []
    for start in range(0, len(pictures), _BATCH):
        batch = network_input(pictures[start : start + _BATCH], spec, device)
        with autocast(precision, device):
            batch = batch.contiguous(memory_format=torch.channels_last)
            parts.append(encoder.features(batch).to(torch.bfloat16))
    return torch.cat(parts)


@torch.no_grad()
def principal_embedding(
    encoder: Encoder, spec: ModelSpec, pixels: NDArray[np.uint8], device: torch.device, precision: str
) -> None:
    """Set the encoder's linear embedding to the principal components of its features of these images."""
    rows = np.linspace(0, len(pixels) - 1, min(IMAGES, len(pixels))).round().astype(np.intp)
    features = backbone_features(encoder, spec, pixels[rows], device, precision).float()
    weight, bias = principal_components(features, spec.embedding_dim)
    encoder.embedding.weight.copy_(weight)
    encoder.embedding.bias.copy_(bias)


def principal_components(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return weight (count, F) and bias (count,) of the half-whitened components of features (N, F).

    Components that the features do not have, fewer images than `count` or than F, are zero.
    """
    mean = features.mean(dim=0)
    _, deviation, axes = torch.linalg.svd(features - mean, full_matrices=False)
    deviation, axes = deviation[:count] / len(features) ** 0.5, axes[:count]
    weight = torch.zeros(count, features.shape[1], device=features.device)
    # Of as many images as components, the last deviation is nothing but rounding.
    there = deviation > 1e-5 * deviation[0]
    weight[: len(axes)][there] = axes[there] / deviation[there, None].sqrt()
    return weight, -weight @ mean
