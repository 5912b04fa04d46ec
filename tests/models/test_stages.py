"""The parts of encoders against the same written out with torch's functions, and their settings."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgesim.models.pretrained import EFFICIENTNETS
from edgesim.models.stages import KINDS, Stage


def built(stage: Stage, channels: int, activation: str = "gelu") -> nn.Sequential:
    """Return the stage's layers with random weights, and random statistics in BatchNorm."""
    torch.manual_seed(0)
    layers = nn.Sequential(*stage.build(channels, activation)).eval()
    for name, values in layers.state_dict().items():
        if values.dtype.is_floating_point:
            values.copy_(torch.rand(values.shape) + (0.5 if "running_var" in name else -0.4))
    return layers


def images(channels: int) -> Tensor:
    return torch.randn(2, channels, 8, 8, generator=torch.Generator().manual_seed(1))


class Written:
    """Looks the weights of a stage's layers up by name, as the functions below need them."""

    def __init__(self, layers: nn.Module) -> None:
        self.values = layers.state_dict()

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.values[f"{name}.weight"]
        return functional.conv2d(
            x, weight, self.values.get(f"{name}.bias"), stride, padding=weight.shape[-1] // 2
        )

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            self.values[f"{name}.{key}"][:, None, None]
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    def block(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        return self.norm(f"{name}.norm", self.conv(f"{name}.conv", x, stride))


@torch.no_grad()
def test_conv() -> None:
    layers = built(Stage(kind="conv", width=5, kernel=5, stride=2), 3, "relu")
    expected = Written(layers).block("0", images(3), 2).clamp(min=0)
    assert expected.shape == (2, 5, 4, 4)
    torch.testing.assert_close(layers(images(3)), expected)


@torch.no_grad()
def test_residual_adds_its_input_before_the_last_activation() -> None:
    layers = built(Stage(kind="residual", width=4), 4, "relu")
    written, x = Written(layers), images(4)
    hidden = written.block("0.layers.0", x).clamp(min=0)
    torch.testing.assert_close(layers(x), (x + written.block("0.layers.1", hidden)).clamp(min=0))


@torch.no_grad()
def test_residual_of_another_shape_projects_its_input() -> None:
    layers = built(Stage(kind="residual", width=6, stride=2), 4, "gelu")
    written, x = Written(layers), images(4)
    hidden = functional.gelu(written.block("0.layers.0", x, 2))
    total = written.block("0.shortcut", x, 2) + written.block("0.layers.1", hidden)
    assert total.shape == (2, 6, 4, 4)
    torch.testing.assert_close(layers(x), functional.gelu(total))


@torch.no_grad()
def test_bottleneck_activates_first() -> None:
    layers = built(Stage(kind="bottleneck", width=8, stride=2, expansion=2), 6, "relu")
    written, x = Written(layers), images(6)
    ready = written.norm("0.norm", x).clamp(min=0)
    hidden = written.block("0.layers.0", ready).clamp(min=0)
    assert hidden.shape[1] == 4  # width / expansion
    hidden = written.block("0.layers.1", hidden, 2).clamp(min=0)
    expected = written.conv("0.layers.2", hidden) + written.conv("0.shortcut", ready, 2)
    torch.testing.assert_close(layers(x), expected)


@torch.no_grad()
def test_bottleneck_of_the_same_shape_adds_the_input_itself() -> None:
    layers = built(Stage(kind="bottleneck", width=6, expansion=2), 6, "relu")
    for name, values in layers.state_dict().items():
        if "layers.2" in name:
            values.zero_()
    assert torch.equal(layers(images(6)), images(6))


@torch.no_grad()
def test_max_pool_against_a_loop() -> None:
    x = images(2)
    out = built(Stage(kind="max_pool", stride=2), 2)(x)
    padded = functional.pad(x, [1] * 4, value=-torch.inf)
    for i in range(4):
        for j in range(4):
            window = padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            assert torch.equal(out[:, :, i, j], window.amax(dim=(2, 3)))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"involution", "max_pool", *EFFICIENTNETS}))
def test_only_the_first_of_a_repeated_stage_changes_the_shape(kind: str) -> None:
    layers = built(Stage(kind=kind, width=8, stride=2, repeat=3), 4)
    assert len(layers) == 3
    shapes = []
    x = images(4)
    for layer in layers:
        x = layer(x)
        shapes.append(tuple(x.shape))
    assert shapes == [(2, 8, 4, 4)] * 3


@torch.no_grad()
def test_an_involution_with_a_stride_is_not_added_to_its_input() -> None:
    layers = built(Stage(kind="involution", stride=2), 4)
    x = images(4)
    torch.testing.assert_close(layers(x), layers[0].involution(x))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"kind": "convolution"},
            "kind must be one of conv, involution, residual, bottleneck, max_pool, efficientnet_lite0, "
            "efficientnet_lite2, got 'convolution'",
        ),
        ({"kind": "conv", "stride": 0}, "stride must be at least 1, got 0"),
        ({"kind": "conv", "repeat": 0}, "repeat must be at least 1, got 0"),
        ({"kind": "involution", "groups": 0}, "groups must be at least 1, got 0"),
        ({"kind": "involution", "width": 8}, "width must be 0 for involution and never negative, got 8"),
        ({"kind": "conv", "width": -8}, "width must be 0 for conv and never negative, got -8"),
        ({"kind": "conv", "kernel": 4}, "kernel must be odd, got 4"),
    ],
)
def test_settings_that_do_not_fit_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        Stage(**settings)
    assert str(caught.value) == message
