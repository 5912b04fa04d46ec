"""JPEG photos to measure with, drawn here: always the same ones, in the sizes that cameras make.

What a JPEG takes to decode goes by its bytes as well as its pixels: a smooth or flat picture is read several
times faster than a photo. So these have structure at every scale, falling with the scale as in photos, hard
edges, and a sensor's noise; as files they have about 3 bits a pixel, as photos of that quality have.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

# Megapixels -> width and height: a web camera's picture, one for the web, a telephone's or a camera's.
PHOTO_SIZES = {0.3: (640, 480), 2.0: (1600, 1200), 12.0: (4000, 3000)}
# Pixels between two knots of a layer of structure, and what of the picture the layer makes up.
_LAYERS = ((512, 1.0), (128, 0.5), (32, 0.35), (8, 0.25), (3, 0.2))
_EDGES = 24
_NOISE_TILE = 256
_NOISE_SHARE = 0.07
_QUALITY = 90


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photo:
    """A JPEG file: its size in megapixels and pixels, and its bytes."""

    megapixels: float
    width: int
    height: int
    content: bytes


def draw_photos(megapixels: Iterable[float] = PHOTO_SIZES) -> list[Photo]:
    """Draw photos of the sizes in `PHOTO_SIZES`."""
    photos = []
    for size in megapixels:
        width, height = PHOTO_SIZES[size]
        photos.append(
            Photo(megapixels=size, width=width, height=height, content=draw_photo(width, height, seed=0))
        )
    return photos


def draw_photo(width: int, height: int, seed: int) -> bytes:
    """Return a JPEG of quality 90 with halved colour, as cameras write them.

    Drawn by Pillow in 8 bits: a device with 512 MB has no room for 12 megapixels in floating point.
    """
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (width, height))
    for pixels, share in _LAYERS:
        shape = (height // pixels + 2, width // pixels + 2, 3)
        layer = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
        picture = Image.blend(picture, layer.resize((width, height), Image.Resampling.BICUBIC), share)
        if pixels == _LAYERS[1][0]:
            _draw_edges(picture, rng)
    picture = Image.blend(picture, _noise(width, height, rng), _NOISE_SHARE)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _draw_edges(picture: Image.Image, rng: np.random.Generator) -> None:
    """Lay triangles of one colour over the picture: things in front of others."""
    draw = ImageDraw.Draw(picture)
    extent = np.array(picture.size)
    for _ in range(_EDGES):
        corners = rng.random(2) * extent + (rng.random((3, 2)) - 0.5) * extent / 3
        red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=(red, green, blue))


def _noise(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Return grey noise; one tile of it, again and again, which no JPEG decoder notices."""
    tile = Image.fromarray(rng.integers(0, 256, (_NOISE_TILE, _NOISE_TILE), dtype=np.uint8)).convert("RGB")
    noise = Image.new("RGB", (width, height))
    for left in range(0, width, _NOISE_TILE):
        for top in range(0, height, _NOISE_TILE):
            noise.paste(tile, (left, top))
    return noise
