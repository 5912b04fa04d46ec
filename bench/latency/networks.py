"""The networks of which latencies on boards are published, with random weights: layers without skill."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

SIZE, CLASSES = 224, 1000

Activation = Callable[[], nn.Module]


class Network(nn.Sequential):
    """A network for images (N, 3, 224, 224); `config.input_size` is what edgesim's converters ask for."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.config = SimpleNamespace(input_size=SIZE)


class ConvBlock(nn.Module):
    """A convolution with a bias, its BatchNorm folded in, and what follows it."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        activation: Activation | None = None,
        *,
        stride: int = 1,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
        self.activation = activation() if activation else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H', W')."""
        y: Tensor = self.convolution(x)
        return self.activation(y) if self.activation else y


class GlobalMean(nn.Module):
    """(N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Average over all pixels."""
        return x.mean((2, 3))


class Excitation(nn.Module):
    """Squeeze and excitation: channels weighted by what their averages say."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = ConvBlock(channels, hidden, 1, nn.ReLU)
        self.excite = ConvBlock(hidden, channels, 1, nn.Hardsigmoid)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, C, H, W)."""
        weights: Tensor = self.excite(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * weights


class Bottleneck(nn.Module):
    """An inverted residual: widen, filter channel by channel, narrow."""

    def __init__(
        self,
        inputs: int,
        expanded: int,
        outputs: int,
        *,
        kernel: int,
        stride: int,
        activation: Activation,
        squeezed: int = 0,
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        if expanded != inputs:
            steps.append(ConvBlock(inputs, expanded, 1, activation))
        steps.append(ConvBlock(expanded, expanded, kernel, activation, stride=stride, depthwise=True))
        if squeezed:
            steps.append(Excitation(expanded, squeezed))
        self.steps = nn.Sequential(*steps, ConvBlock(expanded, outputs, 1))
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H', W')."""
        y: Tensor = self.steps(x)
        return x + y if self.skips else y


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        first = ConvBlock(inputs, outputs, 3, nn.ReLU, stride=stride)
        self.steps = nn.Sequential(first, ConvBlock(outputs, outputs, 3))
        self.shortcut = ConvBlock(inputs, outputs, 1, stride=stride) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H', W')."""
        return torch.relu(self.steps(x) + (self.shortcut(x) if self.shortcut else x))


def mobilenet_v1() -> Network:
    """Howard et al. 2017, arXiv:1704.04861, table 1."""
    layers, width = [ConvBlock(3, 32, 3, nn.ReLU6, stride=2)], 32
    rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for outputs, stride in rows:
        layers.append(ConvBlock(width, width, 3, nn.ReLU6, stride=stride, depthwise=True))
        layers.append(ConvBlock(width, outputs, 1, nn.ReLU6))
        width = outputs
    return Network(*layers, GlobalMean(), nn.Linear(width, CLASSES))


def mobilenet_v2() -> Network:
    """Sandler et al. 2018, arXiv:1801.04381, table 2."""
    layers: list[nn.Module] = [ConvBlock(3, 32, 3, nn.ReLU6, stride=2)]
    width = 32
    # Expansion, width, blocks, stride of the first.
    rows = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    for expansion, outputs, blocks, first_stride in rows:
        for stride in (first_stride, *[1] * (blocks - 1)):
            expanded = width * expansion
            layers.append(Bottleneck(width, expanded, outputs, kernel=3, stride=stride, activation=nn.ReLU6))
            width = outputs
    return Network(*layers, ConvBlock(width, 1280, 1, nn.ReLU6), GlobalMean(), nn.Linear(1280, CLASSES))


# Howard et al. 2019, arXiv:1905.02244, tables 1 and 2: kernel, expanded width, width, s if squeezed, h if
# hard-swish, and stride.
_LARGE = """
3 16 16 - - 1   3 64 24 - - 2   3 72 24 - - 1   5 72 40 s - 2   5 120 40 s - 1
5 120 40 s - 1   3 240 80 - h 2   3 200 80 - h 1   3 184 80 - h 1   3 184 80 - h 1
3 480 112 s h 1   3 672 112 s h 1   5 672 160 s h 2   5 960 160 s h 1   5 960 160 s h 1
"""
_SMALL = """
3 16 16 s - 2   3 72 24 - - 2   3 88 24 - - 1   5 96 40 s h 2   5 240 40 s h 1
5 240 40 s h 1   5 120 48 s h 1   5 144 48 s h 1   5 288 96 s h 2   5 576 96 s h 1
5 576 96 s h 1
"""


def mobilenet_v3_large() -> Network:
    """Howard et al. 2019, table 1."""
    return _mobilenet_v3(_LARGE, last=960, hidden=1280)


def mobilenet_v3_small() -> Network:
    """Howard et al. 2019, table 2."""
    return _mobilenet_v3(_SMALL, last=576, hidden=1024)


def _mobilenet_v3(table: str, last: int, hidden: int) -> Network:
    layers: list[nn.Module] = [ConvBlock(3, 16, 3, nn.Hardswish, stride=2)]
    width = 16
    words = table.split()
    for start in range(0, len(words), 6):
        kernel, expanded, outputs, squeezes, swishes, stride = words[start : start + 6]
        layers.append(
            Bottleneck(
                width,
                int(expanded),
                int(outputs),
                kernel=int(kernel),
                stride=int(stride),
                activation=nn.Hardswish if swishes == "h" else nn.ReLU,
                # A quarter, to the nearest multiple of 8.
                squeezed=(int(expanded) // 4 + 4) // 8 * 8 if squeezes == "s" else 0,
            )
        )
        width = int(outputs)
    head = [GlobalMean(), nn.Linear(last, hidden), nn.Hardswish(), nn.Linear(hidden, CLASSES)]
    return Network(*layers, ConvBlock(width, last, 1, nn.Hardswish), *head)


def resnet18() -> Network:
    """He et al. 2015, arXiv:1512.03385, table 1."""
    layers: list[nn.Module] = [ConvBlock(3, 64, 7, nn.ReLU, stride=2), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for outputs in (64, 128, 256, 512):
        layers.append(BasicBlock(width, outputs, 1 if outputs == width else 2))
        layers.append(BasicBlock(outputs, outputs, 1))
        width = outputs
    return Network(*layers, GlobalMean(), nn.Linear(width, CLASSES))


NETWORKS: dict[str, Callable[[], Network]] = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
    "resnet18": resnet18,
}
