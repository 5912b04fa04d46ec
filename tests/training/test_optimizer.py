"""Optimisers against their formulas, worked out step by step with NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.training.config import TrainingConfig
from edgesim.training.optimizer import build_optimizer

GRADIENTS = (0.5, -0.2, 0.3)


def descend(name, parameter):
    """Return the first value of a parameter after each of three steps."""
    config = TrainingConfig(loss="ce", optimizer=name, learning_rate=0.1, weight_decay=0.01)
    optimizer = build_optimizer(config, [parameter])
    values = []
    for gradient in GRADIENTS:
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        values.append(parameter.detach().flatten()[0].item())
    return values


@pytest.mark.parametrize(("shape", "decay"), [((1, 1), 0.01), ((1,), 0.0)])  # a weight, and a bias or norm
def test_sgd_with_nesterov_momentum(shape, decay):
    expected, value, momentum = [], 1.0, 0.0
    for raw in GRADIENTS:
        gradient = raw + decay * value
        momentum = 0.9 * momentum + gradient
        value -= 0.1 * (gradient + 0.9 * momentum)
        expected.append(value)
    assert descend("sgd", nn.Parameter(torch.ones(shape))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("shape", "decay"), [((1, 1), 0.01), ((1,), 0.0)])
def test_adamw_decays_weights_apart_from_the_gradient(shape, decay):
    expected, value, first, second = [], 1.0, 0.0, 0.0
    for step, gradient in enumerate(GRADIENTS, start=1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        value *= 1 - 0.1 * decay
        value -= 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        expected.append(value)
    assert descend("adamw", nn.Parameter(torch.ones(shape))) == pytest.approx(expected, rel=1e-5)
