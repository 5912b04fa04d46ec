"""The parts that encoders are made of, and the line of settings that each is made from.

Shapes in this file: N batch, C channels, H x W height and width. A part that repeats has its stride and its
change of width in the first of its layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from edgesim.models.involution import ExportedInvolution, Involution
from edgesim.models.pretrained import EFFICIENTNETS, STRIDE, WIDTH, EfficientNetLite

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One line of an architecture. Raises `ValueError` if its values do not fit together.

    Attributes:
        kind: a key of `KINDS`: `conv`; `involution`, added to its input; `residual`, pairs of convolutions
            with a shortcut (He et al., CVPR 2016, arXiv 1512.03385); `bottleneck`, pre-activated bottlenecks
            (He et al., ECCV 2016, arXiv 1603.05027); `max_pool`; `efficientnet_lite0` and `_lite2`, which
            others trained on ImageNet (edgesim.models.pretrained), of width 1280 and stride 32.
        width: output channels; 0: as many as come in, which `involution` and `max_pool` always have.
        kernel: side of the kernel, odd.
        stride: of the first layer.
        repeat: number of layers or blocks.
        expansion: output channels of `bottleneck` for each hidden one.
        groups: of `involution`.
        reduction: of `involution`.
    """

    kind: str
    width: int = 0
    kernel: int = 3
    stride: int = 1
    repeat: int = 1
    expansion: int = 4
    groups: int = 1
    reduction: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        for name in ("stride", "repeat", "expansion", "groups", "reduction"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width < 0 or (self.width and self.kind in _KEEP_WIDTH):
            raise ValueError(f"width must be 0 for {self.kind} and never negative, got {self.width}")
        if self.kind in EFFICIENTNETS and (self.width, self.stride, self.repeat) != (WIDTH, STRIDE, 1):
            raise ValueError(
                f"{self.kind} has width {WIDTH} and stride {STRIDE}, once, "
                f"got {self.width} and {self.stride}, {self.repeat} times"
            )
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}")

    def build(self, channels: int, activation: str) -> list[nn.Module]:
        """Return the layers for an input of C channels, and `ValueError` if the groups do not divide them."""
        layers = []
        for i in range(self.repeat):
            width = self.width or channels
            layers.append(KINDS[self.kind](self, channels, width, self.stride if i == 0 else 1, activation))
            channels = width
        return layers


class ConvBlock(nn.Module):
    """Convolution, BatchNorm and, unless `activation` is None, the activation."""

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        kernel: int,
        activation: str | None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width)
        self.activation = ACTIVATIONS[activation]() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, width, H / stride, W / stride)."""
        y: Tensor = self.activation(self.norm(self.conv(x)))
        return y

    def fold_batch_norm(self) -> None:
        """Put the BatchNorm's constants into the convolution; for evaluation mode."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = nn.utils.fusion.fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class ResidualInvolution(nn.Module):
    """An involution and, where it keeps the size, its input added. The shortcut is our choice."""

    def __init__(self, stage: Stage, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.involution: Involution | ExportedInvolution = Involution(
            channels,
            kernel_size=stage.kernel,
            groups=stage.groups,
            reduction=stage.reduction,
            stride=stride,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / stride, W / stride)."""
        y: Tensor = self.involution(x)
        return x + y if self.stride == 1 else y


class Residual(nn.Module):
    """Two convolutions, their input added before the last activation."""

    def __init__(self, stage: Stage, channels: int, width: int, stride: int, activation: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvBlock(channels, width, kernel=stage.kernel, stride=stride, activation=activation),
            ConvBlock(width, width, kernel=stage.kernel, activation=None),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != width:
            self.shortcut = ConvBlock(channels, width, kernel=1, stride=stride, activation=None)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, width, H / stride, W / stride)."""
        y: Tensor = self.activation(self.shortcut(x) + self.layers(x))
        return y


class Bottleneck(nn.Module):
    """BatchNorm and activation, then narrow, convolve, widen; the input is added."""

    def __init__(self, stage: Stage, channels: int, width: int, stride: int, activation: str) -> None:
        super().__init__()
        hidden = max(1, width // stage.expansion)
        self.norm = nn.BatchNorm2d(channels)
        self.activation = ACTIVATIONS[activation]()
        self.layers = nn.Sequential(
            ConvBlock(channels, hidden, kernel=1, activation=activation),
            ConvBlock(hidden, hidden, kernel=stage.kernel, stride=stride, activation=activation),
            nn.Conv2d(hidden, width, 1),
        )
        self.shortcut: nn.Module | None = None
        if stride > 1 or channels != width:
            self.shortcut = nn.Conv2d(channels, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, width, H / stride, W / stride)."""
        ready = self.activation(self.norm(x))
        y: Tensor = self.layers(ready)
        return y + (x if self.shortcut is None else self.shortcut(ready))


class MaxPool(nn.Module):
    """The largest value under each position of the kernel."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / stride, W / stride)."""
        return functional.max_pool2d(x, self.kernel, self.stride, self.kernel // 2)


def _conv(stage: Stage, channels: int, width: int, stride: int, activation: str) -> nn.Module:
    return ConvBlock(channels, width, kernel=stage.kernel, stride=stride, activation=activation)


def _involution(stage: Stage, channels: int, _width: int, stride: int, _activation: str) -> nn.Module:
    return ResidualInvolution(stage, channels, stride)


def _max_pool(stage: Stage, _channels: int, _width: int, stride: int, _activation: str) -> nn.Module:
    return MaxPool(stage.kernel, stride)


def _pretrained(stage: Stage, _channels: int, _width: int, _stride: int, _activation: str) -> nn.Module:
    return EfficientNetLite(stage.kind)


KINDS: dict[str, Callable[[Any, int, int, int, str], nn.Module]] = {
    "conv": _conv,
    "involution": _involution,
    "residual": Residual,
    "bottleneck": Bottleneck,
    "max_pool": _max_pool,
    **dict.fromkeys(EFFICIENTNETS, _pretrained),
}
_KEEP_WIDTH = ("involution", "max_pool")
