"""What JPEG compression does to an image, on tensors: 8x8 cosine transform, quantise, transform back.

Entropy coding loses nothing and is left out; chroma is not subsampled. The tables are those of the JPEG
standard (ITU-T T.81, tables K.1 and K.2), scaled by quality as libjpeg scales them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LUMINANCE = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMINANCE = """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
"""
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def quantisation_tables(quality: Tensor) -> Tensor:
    """Return the tables (N, 3, 8, 8) of Y, Cb and Cr for qualities (N,) between 1 and 100."""
    base = torch.tensor([[float(v) for v in t.split()] for t in (_LUMINANCE, _CHROMINANCE, _CHROMINANCE)])
    base = base.view(1, 3, 8, 8).to(quality.device)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1, 1, 1)
    return ((base * scale + 50) / 100).floor().clamp(1, 255)


def jpeg_round_trip(images: Tensor, quality: Tensor) -> Tensor:
    """Compress and decompress images (N, 3, s, s), float in 0..1, s a multiple of 8, at qualities (N,)."""
    count, _, side, _ = images.shape
    to_ycc = torch.tensor(_TO_YCC, device=images.device)
    position = torch.arange(8, device=images.device, dtype=images.dtype)
    cosine = torch.cos((2 * position[None, :] + 1) * position[:, None] * math.pi / 16) / 2
    cosine[0] /= math.sqrt(2)
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, images * 255.0).round()
    ycc[:, 0] -= 128.0
    blocks = ycc.view(count, 3, side // 8, 8, side // 8, 8).permute(0, 1, 2, 4, 3, 5)
    table = quantisation_tables(quality)[:, :, None, None]
    coefficients = cosine @ blocks @ cosine.T
    blocks = cosine.T @ ((coefficients / table).round() * table) @ cosine
    ycc = blocks.permute(0, 1, 2, 4, 3, 5).reshape(count, 3, side, side).round()
    ycc[:, 0] += 128.0
    rgb = torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_ycc), ycc)
    return (rgb.round() / 255.0).clamp(0, 1)
