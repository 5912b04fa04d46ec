"""The involution layer (Li et al., CVPR 2021, arXiv 2103.06255), in two forms that give the same numbers.

An involution is the converse of a convolution: its kernel differs from pixel to pixel, being computed from
that pixel, and is shared by all channels of a group:

    Y[i, j, c] = sum over (u, v) of H[i, j, u, v, g(c)] * X[i + u, j + v, c]      (equation 4)
    H[i, j]    = W1 sigma(W0 X[i, j])                                             (equation 6)

Shapes in this file: N batch, C channels, G groups, K kernel size, KK = K * K, H x W output height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Involution(nn.Module):
    """Involution with `groups` contiguous blocks of channels, as in the authors' implementation.

    With a stride, the pixels that make the kernels are average-pooled first, as the authors do.

    Args:
        channels: C, of input and output.
        kernel_size: K, odd.
        groups: G, a divisor of `channels`.
        reduction: r; W0 has C // r outputs, at least one.
        stride: output pixels are this far apart; the input's sides must be multiples of it.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        groups: int = 1,
        reduction: int = 1,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        if channels % groups:
            raise ValueError(f"groups must divide channels={channels}, got {groups}")
        self.channels, self.kernel_size, self.groups, self.stride = channels, kernel_size, groups, stride
        hidden = max(1, channels // reduction)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(hidden)
        self.span = nn.Conv2d(hidden, kernel_size**2 * groups, 1)

    def kernels(self, x: Tensor) -> Tensor:
        """Return H of equation 6 for an input (N, C, H * stride, W * stride), as (N, G * KK, H, W)."""
        kernels: Tensor = self.span(functional.relu(self.norm(self.reduce(self.pool(x)))))
        return kernels

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H * stride, W * stride) to (N, C, H, W)."""
        n, channels = x.shape[:2]
        kernels = self.kernels(x)
        height, width = kernels.shape[-2:]
        kernels = kernels.view(n, self.groups, self.kernel_size**2, 1, height, width)
        padded = functional.pad(x, [self.kernel_size // 2] * 4)
        padded = padded.view(n, self.groups, channels // self.groups, *padded.shape[-2:])
        out = torch.zeros_like(padded[..., :height, :width])
        for k in range(self.kernel_size**2):
            rows, columns = self._window(k, height, width)
            out = out + kernels[:, :, k] * padded[..., rows, columns]
        return out.reshape(n, channels, height, width)

    def _window(self, k: int, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the padded input under kernel position k, for every output pixel."""
        u, v = divmod(k, self.kernel_size)
        stop_u, stop_v = u + self.stride * (height - 1) + 1, v + self.stride * (width - 1) + 1
        return slice(u, stop_u, self.stride), slice(v, stop_v, self.stride)


class ExportedInvolution(nn.Module):
    """The same numbers from an involution in evaluation mode, in operators that inference engines do fast.

    All windows are joined into KK * C channels, W1 gets a row for each, and one elementwise product is
    summed by a 1x1 convolution of ones. The nearest alternative, a batched matrix product of each pixel's
    kernel and window, takes twice as long in LiteRT, which repacks the window for every pixel
    (`bench/bench_involution.py`).
    """

    def __init__(self, involution: Involution) -> None:
        super().__init__()
        channels, kk = involution.channels, involution.kernel_size**2
        self.kernel_size, self.stride = involution.kernel_size, involution.stride
        self.pool = involution.pool
        self.reduce = involution.reduce
        if isinstance(involution.norm, nn.BatchNorm2d):
            self.reduce = nn.utils.fusion.fuse_conv_bn_eval(involution.reduce, involution.norm)
        self.span = nn.Conv2d(involution.span.in_channels, kk * channels, 1)
        self.sum = nn.Conv2d(kk * channels, channels, 1, bias=False)
        self.to(involution.span.weight)  # its device and dtype
        # Window channel k * C + c meets row g(c) * KK + k of W1.
        group = torch.arange(channels) // (channels // involution.groups)
        rows = (group[None, :] * kk + torch.arange(kk)[:, None]).flatten()
        self.span.load_state_dict({name: of[rows] for name, of in involution.span.state_dict().items()})
        with torch.no_grad():
            self.sum.weight.copy_(torch.eye(channels).repeat(1, kk)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H * stride, W * stride) to (N, C, H, W)."""
        kernels = self.span(functional.relu(self.reduce(self.pool(x))))
        out: Tensor = self.sum(kernels * self.windows(x))
        return out

    def windows(self, x: Tensor) -> Tensor:
        """Return what lies under every kernel position, (N, KK * C, H, W): columns first, then rows."""
        # Channels last, as TFLite has them: padded channels first, the tensor would be transposed twice.
        border = self.kernel_size // 2
        x = functional.pad(x.permute(0, 2, 3, 1), [0, 0, border, border, border, border])
        for axis in (2, 1):
            span = x.shape[axis] - self.kernel_size + 1
            shifted = [_every(x.narrow(axis, k, span), axis, self.stride) for k in range(self.kernel_size)]
            x = torch.cat(shifted, dim=3)
        return x.permute(0, 3, 1, 2)


def _every(x: Tensor, axis: int, step: int) -> Tensor:
    """Return each `step`-th element along axis 1 or 2."""
    if step == 1:
        return x
    return x[:, ::step] if axis == 1 else x[:, :, ::step]
