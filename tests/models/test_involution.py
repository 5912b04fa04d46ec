"""The involution against a loop written from the equations of the paper, and against hand-worked numbers."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.models.cost import parameter_count
from edgesim.models.involution import ExportedInvolution, Involution

FORMS: dict[str, Callable[[Involution], nn.Module]] = {
    "training": lambda layer: layer,
    "export": ExportedInvolution,
}


def randomised(layer: Involution, seed: int = 0) -> Involution:
    """Random weights and, in BatchNorm, random statistics: nothing is left at a value that hides it."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in layer.state_dict().items():
        if values.dtype.is_floating_point:
            values.copy_(torch.rand(values.shape, generator=generator) * 2 - 1)
        if name.endswith("running_var"):
            values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
    return layer.double().eval()


def kernel_by_equation_6(layer: Involution, pixel: np.ndarray) -> np.ndarray:
    """H = W1 sigma(W0 x) for one pixel (C,); sigma is BatchNorm (by its statistics) and ReLU."""
    weights = {name: values.numpy() for name, values in layer.state_dict().items()}
    hidden = weights["reduce.weight"][:, :, 0, 0] @ pixel
    hidden = (hidden - weights["norm.running_mean"]) / np.sqrt(weights["norm.running_var"] + 1e-5)
    hidden = np.maximum(hidden * weights["norm.weight"] + weights["norm.bias"], 0.0)
    return np.asarray(weights["span.weight"][:, :, 0, 0] @ hidden + weights["span.bias"])


def involution_by_loops(
    layer: Involution, image: np.ndarray, kernel_size: int, groups: int, stride: int
) -> np.ndarray:
    """Y of equation 4 for one image (C, H, W); zero outside of the picture."""
    channels, height, width = image.shape
    half = kernel_size // 2
    out = np.zeros((channels, height // stride, width // stride))
    for i, j in itertools.product(*map(range, out.shape[1:])):
        block = image[:, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
        kernel = kernel_by_equation_6(layer, block.mean(axis=(1, 2)))
        for c, u, v in itertools.product(range(channels), range(kernel_size), range(kernel_size)):
            row, column = i * stride + u - half, j * stride + v - half
            if 0 <= row < height and 0 <= column < width:
                group = c // (channels // groups)
                weight = kernel[(group * kernel_size + u) * kernel_size + v]
                out[c, i, j] += weight * image[c, row, column]
    return out


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reduction", [1, 2, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_equals_the_loop(kernel_size: int, groups: int, stride: int, reduction: int, form: str) -> None:
    layer = Involution(4, kernel_size=kernel_size, groups=groups, stride=stride, reduction=reduction)
    randomised(layer)
    images = torch.rand(2, 4, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.3
    expected = [involution_by_loops(layer, image.numpy(), kernel_size, groups, stride) for image in images]
    with torch.no_grad():
        out = FORMS[form](layer)(images).numpy()
    assert out.shape == (2, 4, 4 // stride, 6 // stride)
    np.testing.assert_allclose(out, np.stack(expected), atol=1e-12)


def by_hand(channels: int, **options: int | bool) -> Involution:
    """An involution with all weights zero and no BatchNorm, for a test to fill in."""
    layer = Involution(channels, **options).eval()  # type: ignore[arg-type]
    layer.norm = nn.Identity()
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


UP, CENTRE, RIGHT = 1, 4, 5  # of the positions 0..8 of a 3 x 3 kernel, row by row


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_one_channel_by_hand(form: str) -> None:
    layer = by_hand(1)
    layer.reduce.weight[:] = 0.5  # W0
    layer.span.weight[CENTRE] = 2.0  # W1
    layer.span.weight[RIGHT] = 4.0
    layer.span.bias[UP] = 1.0
    # H[i, j] is therefore max(x, 0) at the centre, 2 max(x, 0) to the right and 1 above, so
    # Y[i, j] = max(x, 0) * (x + 2 * right) + up, where outside of the picture counts 0:
    #   row 0:   0 * (-1 + 4) + 0 =  0    2 * (2 + 6) + 0  = 16    3 * (3 + 0) + 0 =  9
    #   row 1:   4 * (4 + 0)  - 1 = 15    0 * (0 + 2) + 2  =  2    1 * (1 + 0) + 3 =  4
    #   row 2:   1 * (1 + 10) + 4 = 15    5 * (5 + 4) + 0  = 45    2 * (2 + 0) + 1 =  5
    image = torch.tensor([[-1.0, 2.0, 3.0], [4.0, 0.0, 1.0], [1.0, 5.0, 2.0]])
    expected = [[0.0, 16.0, 9.0], [15.0, 2.0, 4.0], [15.0, 45.0, 5.0]]
    assert FORMS[form](layer)(image.view(1, 1, 3, 3))[0, 0].tolist() == expected


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_stride_by_hand(form: str) -> None:
    layer = by_hand(1, stride=2)
    layer.reduce.weight[:] = 1.0
    layer.span.weight[:] = 1.0
    # The kernel comes from the mean of the four pixels, (1 + 2 + 3 + 6) / 4 = 3, at all nine positions; the
    # window around pixel (0, 0) holds all four and zeros: 3 * (1 + 2 + 3 + 6) = 36.
    assert FORMS[form](layer)(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])).tolist() == [[[[36.0]]]]


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_groups_are_contiguous_blocks_of_channels_by_hand(form: str) -> None:
    layer = by_hand(4, groups=2)
    layer.reduce.weight[0, 0] = 1.0  # the first hidden value is channel 0, max(2, 0) = 2
    layer.span.weight[CENTRE, 0] = 1.0  # group 0 (channels 0 and 1): the centre times 2
    layer.span.weight[9 + CENTRE, 0] = 10.0  # group 1 (channels 2 and 3): the centre times 20
    image = torch.tensor([2.0, 3.0, 5.0, 7.0]).view(1, 4, 1, 1)
    assert FORMS[form](layer)(image).flatten().tolist() == [4.0, 6.0, 100.0, 140.0]


@pytest.mark.parametrize(
    ("channels", "kernel_size", "groups", "reduction"),
    [(12, 3, 1, 4), (16, 7, 2, 4), (3, 5, 3, 1), (3, 3, 1, 8)],
)
def test_parameter_count(channels: int, kernel_size: int, groups: int, reduction: int) -> None:
    layer = Involution(channels, kernel_size=kernel_size, groups=groups, reduction=reduction)
    hidden = max(1, channels // reduction)
    reduce_and_norm = channels * hidden + 2 * hidden
    span = (hidden + 1) * kernel_size**2 * groups
    assert parameter_count(layer) == reduce_and_norm + span


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^kernel_size must be odd, got 4$"):
        Involution(4, kernel_size=4)


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^groups must divide channels=6, got 4$"):
        Involution(6, groups=4)
