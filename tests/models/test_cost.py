"""Parameters and multiply-accumulates against counts by hand."""

import torch

from edgesim.models.cost import multiply_accumulates, parameter_count
from edgesim.models.encoder import Encoder, EncoderConfig
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
