"""What an encoder costs before anyone has timed it: parameters, multiply-accumulates, numbers moved."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgesim.latency_data import Cost
from edgesim.models.encoder import Encoder
from edgesim.models.involution import ExportedInvolution, Involution


def parameter_count(encoder: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)


@torch.no_grad()
def multiply_accumulates(encoder: Encoder) -> int:
    """Return the multiply-accumulates of one image in convolutions, involutions and linear layers.

    Normalisation, activations, pooling and sums are left out, as is usual.
    """
    total = 0

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d | nn.Linear):
            total += layer.weight[0].numel() * output.numel()
        elif isinstance(layer, Involution):
            total += layer.kernel_size**2 * output.numel()

    training = encoder.training
    try:
        # In evaluation mode: BatchNorm in training needs more than one value a channel.
        _visit(encoder.eval(), encoder.config.input_size, count)
    finally:
        encoder.train(training)
    return total


@torch.no_grad()
def layer_cost(network: nn.Module, input_size: int) -> Cost:
    """Return the cost of a network as it is: of an encoder, pass what `for_export` makes of it.

    The windows of an involution count as activations that are written and read.

    Args:
        network: in evaluation mode; takes images (N, 3, S, S).
        input_size: S.
    """
    macs = activations = weights = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, activations, weights
        if isinstance(layer, nn.Conv2d | nn.Linear):
            macs += layer.weight[0].numel() * output.numel()
            activations += inputs[0].numel() + output.numel()
            weights += layer.weight.numel()
        elif isinstance(layer, ExportedInvolution):
            # Its windows are written once, and read once by the product with the kernels.
            activations += 2 * layer.kernel_size**2 * output.numel()

    _visit(network, input_size, count)
    return Cost(macs=macs, activations=activations, weights=weights)


def _visit(
    network: nn.Module, input_size: int, count: Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]
) -> None:
    """Call `count` with every layer, its inputs and its output for one image, all zeros."""
    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    try:
        device = next(network.parameters()).device
        network(torch.zeros(1, 3, input_size, input_size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
