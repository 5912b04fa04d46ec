"""Edited copies of a picture: the six edits that `edgesim demo`, the export gate and `bench/` all use.

Their strengths are our choice: what a forwarded, rephotographed or annotated picture goes through. A copy is
a function of the picture, the name of the edit and the seed, so that every figure can be made again.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

Edit = Callable[[Image.Image, np.random.Generator, Image.Image], Image.Image]


def crop(image: Image.Image, rng: np.random.Generator, background: Image.Image) -> Image.Image:
    """Keep 60 to 75 % of each side, somewhere."""
    share = rng.uniform(0.6, 0.75)
    width, height = round(image.width * share), round(image.height * share)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def rotation(image: Image.Image, rng: np.random.Generator, background: Image.Image) -> Image.Image:
    """Turn by 10 to 25 degrees either way, on grey."""
    angle = rng.uniform(10, 25) * rng.choice((-1, 1))
    return image.rotate(angle, Image.Resampling.BILINEAR, expand=True, fillcolor=(128, 128, 128))


def jpeg(image: Image.Image, rng: np.random.Generator, background: Image.Image) -> Image.Image:
    """Compress as JPEG of quality 20."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=20)
    with Image.open(stream, formats=("JPEG",)) as decoded:
        return decoded.convert("RGB")


def text(image: Image.Image, rng: np.random.Generator, background: Image.Image) -> Image.Image:
    """Write a line of text over the picture, a sixth of its height tall."""
    copy = image.copy()
    font = ImageFont.load_default(size=max(8, image.height // 6))
    place = (image.width * rng.uniform(0.02, 0.2), image.height * rng.uniform(0.1, 0.7))
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    ImageDraw.Draw(copy).text(place, f"LOT {rng.integers(1000, 10000)}", fill=colour, font=font)
    return copy


def brightness(image: Image.Image, rng: np.random.Generator, background: Image.Image) -> Image.Image:
    """Darken to 0.5-0.7 or brighten to 1.3-1.6 of the brightness."""
    factor = rng.uniform(0.5, 0.7) if rng.random() < 0.5 else rng.uniform(1.3, 1.6)
    return ImageEnhance.Brightness(image).enhance(factor)


def paste(image: Image.Image, rng: np.random.Generator, background: Image.Image) -> Image.Image:
    """Paste the picture onto another one, filling 40 to 60 % of its area."""
    side = rng.uniform(0.4, 0.6) ** 0.5
    width, height = round(image.width * side), round(image.height * side)
    canvas = background.convert("RGB").resize(image.size, Image.Resampling.BILINEAR)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return canvas


EDITS: dict[str, Edit] = {
    "crop": crop,
    "rotation": rotation,
    "jpeg": jpeg,
    "text": text,
    "brightness": brightness,
    "paste": paste,
}


def edited_copy(image: Image.Image, edit: str, seed: int, background: Image.Image) -> Image.Image:
    """Return an edited RGB copy of an RGB picture.

    Args:
        image: the original.
        edit: a key of `EDITS`.
        seed: the copy's only source of chance.
        background: an unrelated picture, used by `paste`.
    """
    return EDITS[edit](image, np.random.default_rng(seed), background)
