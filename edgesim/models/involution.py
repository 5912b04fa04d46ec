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
        exportable: compute with slices and one batched matrix product instead of K*K products of whole
            maps. Slower to train, but quantises well: the products are summed in int32 before they are
            rounded, where elementwise products would each be rounded to int8.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        groups: int = 1,
        reduction: int = 1,
        stride: int = 1,
        exportable: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        if channels % groups:
            raise ValueError(f"groups must divide channels={channels}, got {groups}")
        self.channels, self.kernel_size, self.groups, self.stride = channels, kernel_size, groups, stride
        self.exportable = exportable
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
        if self.exportable:
            return self._forward_by_matmul(x)
        return self._forward_by_shifts(x)

    def _window(self, k: int, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the padded input under kernel position k, for every output pixel."""
        u, v = divmod(k, self.kernel_size)
        stop_u, stop_v = u + self.stride * (height - 1) + 1, v + self.stride * (width - 1) + 1
        return slice(u, stop_u, self.stride), slice(v, stop_v, self.stride)

    def _forward_by_shifts(self, x: Tensor) -> Tensor:
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

    def _forward_by_matmul(self, x: Tensor) -> Tensor:
        kk, per_group = self.kernel_size**2, self.channels // self.groups
        kernels = self.kernels(x)
        height, width = kernels.shape[-2:]
        padded = functional.pad(x, [self.kernel_size // 2] * 4)
        # Channels go last before the windows are joined, so that the joined axis is (KK, C) in memory.
        padded = padded.permute(0, 2, 3, 1)
        windows = [self._window(k, height, width) for k in range(kk)]
        joined = torch.cat([padded[:, rows, columns] for rows, columns in windows], dim=3)
        patches = joined.reshape(-1, kk, self.groups, per_group).transpose(1, 2)
        kernel_rows = kernels.permute(0, 2, 3, 1).reshape(-1, self.groups, 1, kk)
        out = torch.matmul(kernel_rows, patches).reshape(-1, height, width, self.channels)
        return out.permute(0, 3, 1, 2)
