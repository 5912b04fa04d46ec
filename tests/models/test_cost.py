"""Parameters and multiply-accumulates against counts by hand."""

import torch

from edgesim.latency_data import Cost
from edgesim.models.cost import layer_cost, multiply_accumulates, parameter_count
from edgesim.models.encoder import Encoder, EncoderConfig, for_export
from edgesim.models.stages import Stage

CONFIG = EncoderConfig(
    input_size=8,
    patch=2,
    stages=(
        Stage(kind="involution", kernel=3, reduction=4),
        Stage(kind="conv", width=5, stride=2),
        Stage(kind="residual", width=6),
    ),
    embedding_dim=7,
)


def test_by_hand() -> None:
    encoder = Encoder(CONFIG)
    # 4x4 patches of 12 channels: W0 to 3, W1 to 9 kernel positions, then 9 products for each channel; 2x2
    # outputs of the strided convolution, and of the residual block with its projection.
    involution = 16 * (12 * 3 + 3 * 9 + 9 * 12)
    convolution = 4 * 9 * 12 * 5
    residual = 4 * (9 * 5 * 6 + 9 * 6 * 6 + 5 * 6)
    assert multiply_accumulates(encoder) == involution + convolution + residual + 6 * 7
    # Weights, then two values a channel for each BatchNorm, then biases.
    weights = 12 * 3 + 3 * 9 + 9 * 12 * 5 + 9 * 5 * 6 + 9 * 6 * 6 + 5 * 6 + 6 * 7
    assert parameter_count(encoder) == weights + 2 * (3 + 5 + 6 + 6 + 6) + 9 + 7


def test_counting_leaves_no_trace() -> None:
    encoder = Encoder(CONFIG).train()
    before = {name: values.clone() for name, values in encoder.state_dict().items()}
    multiply_accumulates(encoder)
    assert encoder.training
    assert all(torch.equal(values, before[name]) for name, values in encoder.state_dict().items())
    assert not any(layer._forward_hooks for layer in encoder.modules())


def test_layer_cost_by_hand() -> None:
    encoder = for_export(Encoder(CONFIG))
    # As exported, patches are a convolution, and the involution's 9 x 12 kernel channels meet a sum by a
    # convolution of ones. Inputs, outputs and weights of each layer:
    layers = [
        (8 * 8 * 3, 4 * 4 * 12, 12 * 2 * 2 * 3, 16),  # patches
        (16 * 12, 16 * 3, 12 * 3, 16),  # W0
        (16 * 3, 16 * 108, 3 * 108, 16),  # W1
        (16 * 108, 16 * 12, 108 * 12, 16),  # the sum
        (16 * 12, 4 * 5, 9 * 12 * 5, 4),  # the strided convolution
        (4 * 5, 4 * 6, 9 * 5 * 6, 4),  # the residual block
        (4 * 6, 4 * 6, 9 * 6 * 6, 4),
        (4 * 5, 4 * 6, 5 * 6, 4),  # its projection
        (6, 7, 6 * 7, 1),  # the embedding
    ]
    windows = 16 * 9 * 12
    assert layer_cost(encoder, 8) == Cost(
        macs=sum(weights * pixels for _, _, weights, pixels in layers),
        activations=sum(inputs + outputs for inputs, outputs, _, _ in layers) + 2 * windows,
        weights=sum(weights for _, _, weights, _ in layers),
    )
    assert not any(layer._forward_hooks for layer in encoder.modules())
