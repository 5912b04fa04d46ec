"""The golden images: drawn, not photographed, so that they may be shipped with every bundle."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

SIZE = (160, 120)
COUNT = 4


def golden_images() -> list[bytes]:
    """Return `COUNT` pictures of 160x120 pixels as PNG files: shapes on a colour gradient."""
    return [_png(_draw(np.random.default_rng(seed))) for seed in range(COUNT)]


def _draw(rng: np.random.Generator) -> Image.Image:
    width, height = SIZE
    corners = rng.uniform(0, 255, (2, 2, 3))
    y, x = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    top = corners[0, 0] * (1 - x) + corners[0, 1] * x
    bottom = corners[1, 0] * (1 - x) + corners[1, 1] * x
    picture = Image.fromarray((top * (1 - y) + bottom * y).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for shape in (draw.rectangle, draw.ellipse, draw.rectangle, draw.ellipse):
        left, upper = rng.integers(0, width - 30), rng.integers(0, height - 30)
        right, lower = left + rng.integers(15, 60), upper + rng.integers(15, 60)
        shape((left, upper, right, lower), fill=tuple(int(c) for c in rng.integers(0, 256, 3)))
    return picture


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()
