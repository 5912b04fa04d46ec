"""Rounding weights to the int8 grid: by hand, and by what the encoder then computes."""

import numpy as np
import pytest
import torch

from edgesim.models.encoder import for_export
from edgesim_export.weights import gptq, round_weights, second_moments
from tests.export.small import channels_first, images, small_encoder


def nearest(weight, levels):
    scale = weight.abs().amax(1, keepdim=True) / levels
    return (weight / scale).round() * scale


def output_error(weight, rounded, moments):
    """The mean of (W x - Q x)^2 over the inputs with these second moments."""
    difference = (weight - rounded).double()
    return float(torch.einsum("oi,ij,oj->", difference, moments, difference))


def test_unrelated_inputs_are_rounded_to_the_nearest():
    weight = torch.tensor([[-3.0, 1.26, 2.4, 6.4], [0.1, -0.2, 0.0, 0.04]])
    rounded = gptq(weight, torch.eye(4, dtype=torch.float64), 64)
    # Scales 6.4 / 64 = 0.1 and 0.2 / 64 = 0.003125.
    integers = torch.tensor([[-30, 13, 24, 64], [32, -64, 0, 13]])
    torch.testing.assert_close(rounded, integers * torch.tensor([[0.1], [0.003125]]))


def test_a_twin_input_makes_up_for_the_error():
    # Inputs 2 and 3 are always the same: 0.4 + 0.4 is nearly 1, and nearest would make it 0 + 0.
    weight = torch.tensor([[2.0, 0.4, 0.4]])
    moments = torch.tensor([[9.0, 0, 0], [0, 1, 1], [0, 1, 1]], dtype=torch.float64)
    assert nearest(weight, 2).tolist() == [[2.0, 0.0, 0.0]]
    assert gptq(weight, moments, 2).tolist() == [[2.0, 0.0, 1.0]]


def test_the_error_is_smaller_than_that_of_the_nearest():
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.standard_normal((500, 6)) @ rng.standard_normal((6, 20)))
    weight = torch.from_numpy(rng.standard_normal((10, 20))).float()
    moments = inputs.T @ inputs / len(inputs)
    by_nearest, by_gptq = (
        output_error(weight, rounded, moments) for rounded in (nearest(weight, 7), gptq(weight, moments, 7))
    )
    assert by_gptq < 0.5 * by_nearest


@pytest.mark.parametrize("levels", [7, 64, 127])
def test_the_scale_is_that_of_the_row_before(levels):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(12, 30, generator=generator)
    inputs = torch.randn(40, 30, generator=generator, dtype=torch.float64).cumsum(1)
    rounded = gptq(weight, inputs.T @ inputs, levels)
    torch.testing.assert_close(rounded.abs().amax(1), weight.abs().amax(1))
    integers = rounded / rounded.abs().amax(1, keepdim=True) * levels
    torch.testing.assert_close(integers, integers.round(), rtol=0, atol=1e-4)


def test_a_row_of_zeros_stays_so():
    rounded = gptq(torch.tensor([[0.0, 0.0], [1.0, 0.5]]), torch.eye(2, dtype=torch.float64), 127)
    assert rounded[0].abs().max() < 1e-20
    assert rounded[1, 0] == 1.0


def test_second_moments_are_those_of_the_patches_under_the_kernel():
    encoder, pictures = for_export(small_encoder()), images(3)
    first = encoder.stages[1].conv
    seen = []
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        encoder(channels_first(pictures))
    hook.remove()
    padded = np.pad(seen[0].numpy().astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.zeros((27, 27))
    for n in range(3):
        for i in range(32):
            for j in range(32):
                patch = padded[n, :, i : i + 3, j : j + 3].ravel()
                expected += np.outer(patch, patch)
    found = second_moments(encoder, pictures)
    np.testing.assert_allclose(found["stages.1.conv"].numpy(), expected, rtol=1e-5, atol=1e-2)
    assert len(found) == 10  # three of the involution, six convolutions, the embedding


def test_a_rounded_encoder_is_nearer_to_the_float_one_than_by_the_nearest():
    pictures, others = images(24), channels_first(images(24, start=500))
    original, by_gptq, by_nearest = (for_export(small_encoder()) for _ in range(3))
    round_weights(by_gptq, second_moments(by_gptq, pictures), 7)
    with torch.no_grad():
        for layer in by_nearest.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.weight.copy_(nearest(layer.weight.flatten(1), 7).view_as(layer.weight))
        expected = original(others)
        errors = [float((encoder(others) - expected).square().mean()) for encoder in (by_gptq, by_nearest)]
    assert errors[0] < 0.5 * errors[1]


def test_one_grid_for_all_rows():
    weight = torch.tensor([[-3.0, 1.26, 2.4, 6.4], [0.1, -0.24, 0.0, 0.04]])
    rounded = gptq(weight, torch.eye(4, dtype=torch.float64), 64, per_tensor=True)
    # The scale of both rows is 6.4 / 64 = 0.1.
    integers = torch.tensor([[-30, 13, 24, 64], [1, -2, 0, 0]])
    torch.testing.assert_close(rounded, integers * 0.1)
