"""Photos as cameras make them, in megapixels and bytes, from smaller ones: enlarged, with grain, as JPEG.

What a JPEG takes to decode goes by its bytes as well as by its pixels, and an enlarged photo alone has few of
them. The grain brings them to 2 to 3 bits a pixel, as cameras' files have.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# As cameras and phones write them.
QUALITY = 90
# Standard deviation of the grain in levels, and the side of the tile of it that is laid again and again; no
# multiple of the blocks of 8 or 16 pixels of a JPEG. Our choice.
_GRAIN = 8.0
_TILE = 509


def enlarge(image: Image.Image, megapixels: float) -> Image.Image:
    """Return an RGB picture of so many megapixels in the same shape, with grain."""
    factor = math.sqrt(megapixels * 1e6 / (image.width * image.height))
    size = (round(image.width * factor), round(image.height * factor))
    big = np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
    repeats = (-(-size[1] // _TILE), -(-size[0] // _TILE), 1)
    grain = np.tile(_grain_tile(), repeats)[: size[1], : size[0]]
    return Image.fromarray(np.clip(big + grain, 0, 255).astype(np.uint8))


def _grain_tile() -> NDArray[np.int16]:
    noise = np.random.default_rng(0).normal(0, _GRAIN, (_TILE, _TILE, 3))
    return np.asarray(np.rint(noise), dtype=np.int16)


def jpeg(image: Image.Image) -> bytes:
    """Return a JPEG file of quality 90 with colour at half the width and height (4:2:0)."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return stream.getvalue()
