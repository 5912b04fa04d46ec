"""Rounding weights to the int8 grid so that what a layer computes changes least, not each weight by itself.

The rule is that of GPTQ (Frantar et al. 2023, arXiv 2210.17323, section 3, after Optimal Brain Surgeon):
round one input's weights after the other, and let the weights not yet rounded make up for the error, by the
second moments of the layer's inputs. The converters find these weights on their grid already and keep them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgesim.models.encoder import Encoder

# Share of the mean second moment added to each, so that the matrix can be inverted; the paper's value.
_DAMPING = 0.01
_BATCH = 10


@torch.no_grad()
def round_weights(
    encoder: Encoder, moments: Mapping[str, Tensor], levels: int, *, per_tensor: bool = False
) -> None:
    """Round the weights of all convolutions and linear layers in place.

    Args:
        encoder: from `edgesim.models.encoder.for_export`.
        moments: of its layers, from `second_moments`.
        levels: the largest integer of the grid; see `gptq`.
        per_tensor: one grid for each layer, not for each of its output channels.
    """
    for name, of_layer in moments.items():
        weight = encoder.get_parameter(f"{name}.weight")
        rounded = gptq(weight.flatten(1), of_layer, levels, per_tensor=per_tensor)
        weight.copy_(rounded.view_as(weight))


@torch.no_grad()
def second_moments(encoder: Encoder, images: NDArray[np.float32]) -> dict[str, Tensor]:
    """Return for each layer that has weights the second moments of its inputs over some images.

    Args:
        encoder: from `edgesim.models.encoder.for_export`, its weights not rounded.
        images: (C, S, S, 3) normalised calibration images.

    Returns:
        Name -> the sum of x x^T, float64 (I, I), over all x that the layer multiplies its rows with.
    """
    names = {layer: n for n, layer in encoder.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    moments: dict[str, Tensor] = {}

    def add(layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        if isinstance(layer, nn.Conv2d):
            # Every patch under the kernel, in the order of the flattened weights: (N, I, L) -> (N * L, I).
            x = _unfold(layer)(x).transpose(1, 2).flatten(0, 1)
        x = x.double()
        moments[names[layer]] = moments.get(names[layer], torch.zeros(())) + x.T @ x

    hooks = [layer.register_forward_pre_hook(add) for layer in names]
    try:
        for batch in torch.split(torch.from_numpy(images).permute(0, 3, 1, 2), _BATCH):
            encoder(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return moments


def _unfold(layer: nn.Conv2d) -> nn.Unfold:
    assert isinstance(layer.padding, tuple)  # it may also be a word, which no layer here uses
    return nn.Unfold(layer.kernel_size, layer.dilation, layer.padding, layer.stride)


def gptq(weight: Tensor, moments: Tensor, levels: int, *, per_tensor: bool = False) -> Tensor:
    """Return weights on the grid: in each row, integers of -levels..levels times max|row| / levels.

    Args:
        weight: (O, I), a row for each output channel.
        moments: (I, I) float64, second moments of the inputs.
        levels: 127, or 64 where 7 bits are used.
        per_tensor: the same grid for all rows, from the largest weight of all.
    """
    scale = weight.double().abs().amax(1, keepdim=True).clamp_min(1e-30) / levels
    if per_tensor:
        scale = scale.amax().expand_as(scale)
    # Inputs that vary most are rounded first, while there is most left to make up for them.
    order = torch.argsort(moments.diagonal(), descending=True, stable=True)
    damped = moments + torch.eye(len(moments), dtype=torch.float64) * _DAMPING * moments.diagonal().mean()
    inverse = torch.linalg.inv(damped[order][:, order])
    upper = torch.linalg.cholesky(inverse, upper=True)
    remaining = weight.double()[:, order] / scale
    integers = torch.empty_like(remaining)
    for i in range(len(order)):
        integers[:, i] = remaining[:, i].round().clamp(-levels, levels)
        error = (remaining[:, i] - integers[:, i]) / upper[i, i]
        remaining[:, i:] -= error[:, None] * upper[i, i:]
    integers = integers[:, torch.argsort(order)]
    # The converters look for the scale of one grid in all weights, of one for each row in the row's.
    whole = integers.reshape(1, -1) if per_tensor else integers
    return (_span_grid(whole, levels).view_as(integers) * scale).to(weight.dtype)


def _span_grid(integers: Tensor, levels: int) -> Tensor:
    """Put the largest integer of each row at the grid's end, where the converters look for the scale."""
    largest = integers.abs().argmax(1, keepdim=True)
    signs = torch.where(integers.gather(1, largest) < 0, -1.0, 1.0).to(integers.dtype)
    return integers.scatter(1, largest, signs * levels)
