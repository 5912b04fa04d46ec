"""The edits of the copy benchmark, in Pillow and NumPy: 12 MILD ones, 8 HARD ones, and stacks of mild ones.

They share no code with what training draws. An edit is a function of an RGB picture, a random generator and
another picture, which only `on background` edits use; it returns a new RGB picture. What a comment or a
docstring calls a blur's radius is meant for a picture of 256 pixels on its short side, and scaled to others.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from edgesim.edits import Edit
from edgesim.edits import text as text_line

Range = tuple[float, float]
Generator = np.random.Generator

_BLUR_SIDE = 256
# Below this an encoder is shown nothing, and a JPEG is one block.
_MIN_SIDE = 8


def crop(image: Image.Image, rng: Generator, other: Image.Image, *, area: Range) -> Image.Image:
    """Keep a share of the area, somewhere; the aspect ratio stays."""
    side = math.sqrt(rng.uniform(*area))
    width, height = round(image.width * side), round(image.height * side)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def rotate(image: Image.Image, rng: Generator, other: Image.Image, *, degrees: Range) -> Image.Image:
    """Turn by some degrees either way, on grey, nothing cut off."""
    angle = rng.uniform(*degrees) * rng.choice((-1, 1))
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128))


def mirror(image: Image.Image, rng: Generator, other: Image.Image) -> Image.Image:
    """Swap left and right."""
    return ImageOps.mirror(image)


def border(image: Image.Image, rng: Generator, other: Image.Image) -> Image.Image:
    """Add a border of one colour, 5 to 20 % of the picture's side on each of the four sides."""
    left, right = (round(image.width * share) for share in rng.uniform(0.05, 0.2, 2))
    top, bottom = (round(image.height * share) for share in rng.uniform(0.05, 0.2, 2))
    return ImageOps.expand(image, (left, top, right, bottom), _colour(rng))


def on_background(image: Image.Image, rng: Generator, other: Image.Image, *, area: Range) -> Image.Image:
    """Lay the picture onto another one of the same size, filling a share of its area."""
    side = math.sqrt(rng.uniform(*area))
    width, height = round(image.width * side), round(image.height * side)
    canvas = other.convert("RGB").resize(image.size, Image.Resampling.BICUBIC)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    canvas.paste(image.resize((width, height), Image.Resampling.BICUBIC), (left, top))
    return canvas


def faces(image: Image.Image, rng: Generator, other: Image.Image, *, count: int, size: Range) -> Image.Image:
    """Draw round faces, as emoji are, whose diameter is a share of the picture's short side."""
    copy = image.copy()
    for _ in range(count):
        diameter = max(6, round(min(image.size) * rng.uniform(*size)))
        left = int(rng.integers(0, image.width - diameter + 1))
        top = int(rng.integers(0, image.height - diameter + 1))
        face = _face(diameter, int(rng.integers(0, len(_SKINS))))
        copy.paste(face, (left, top), face)
    return copy


_SKINS = ((255, 204, 50), (255, 170, 60), (250, 110, 90), (120, 200, 90))


def _face(diameter: int, skin: int) -> Image.Image:
    """Return a face on transparent ground: drawn at four times its size, for smooth edges."""
    size = 4 * diameter
    face = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(face)
    draw.ellipse((0, 0, size - 1, size - 1), fill=(*_SKINS[skin], 255))
    for centre in (0.33, 0.67):
        draw.ellipse(
            ((centre - 0.07) * size, 0.27 * size, (centre + 0.07) * size, 0.47 * size), fill=(60, 40, 20)
        )
    draw.arc((0.22 * size, 0.3 * size, 0.78 * size, 0.82 * size), 20, 160, (60, 40, 20), size // 14)
    return face.resize((diameter, diameter), Image.Resampling.BOX)


def colour(image: Image.Image, rng: Generator, other: Image.Image) -> Image.Image:
    """Change brightness and contrast to 0.6-1.5, saturation to 0.4-1.8, and the hue by up to a tenth turn."""
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.6, 1.5))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.6, 1.5))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.4, 1.8))
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(round(rng.uniform(-0.1, 0.1) * 256) % 256)  # wraps around, as hues do
    return Image.fromarray(hsv, "HSV").convert("RGB")


def grey(image: Image.Image, rng: Generator, other: Image.Image) -> Image.Image:
    """Take the colours away."""
    return image.convert("L").convert("RGB")


def blur(image: Image.Image, rng: Generator, other: Image.Image, *, radius: Range) -> Image.Image:
    """Blur by a Gaussian of some standard deviation, in pixels of a picture of 256."""
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(*radius) * min(image.size) / _BLUR_SIDE))


def jpeg(image: Image.Image, rng: Generator, other: Image.Image, *, quality: tuple[int, int]) -> Image.Image:
    """Compress as JPEG of some quality."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(rng.integers(quality[0], quality[1] + 1)))
    with Image.open(stream, formats=("JPEG",)) as decoded:
        return decoded.convert("RGB")


def small(image: Image.Image, rng: Generator, other: Image.Image, *, divisor: int) -> Image.Image:
    """Reduce both sides, 8 pixels at least."""
    width, height = (max(_MIN_SIDE, round(side / divisor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def chain(image: Image.Image, rng: Generator, other: Image.Image) -> Image.Image:
    """Five edits, one after the other."""
    return apply_edits(image, CHAIN, rng, other)


def _colour(rng: Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


# In the order in which a stack applies them: geometry, what is laid over or around, light, compression. Size
# comes last: a JPEG of a picture of 36 pixels is a few blocks, which nobody sends.
MILD: dict[str, Edit] = {
    "crop": functools.partial(crop, area=(0.5, 0.7)),
    "rotation": functools.partial(rotate, degrees=(5, 25)),
    "mirror": mirror,
    "border": border,
    "background": functools.partial(on_background, area=(0.5, 0.7)),
    "text": text_line,
    "emoji": functools.partial(faces, count=1, size=(0.25, 0.4)),
    "colour": colour,
    "grey": grey,
    "blur": functools.partial(blur, radius=(1, 2)),
    "jpeg": functools.partial(jpeg, quality=(20, 40)),
    "quarter size": functools.partial(small, divisor=4),
}
CHAIN = ("crop", "rotation", "background", "emoji", "jpeg")
HARD: dict[str, Edit] = {
    "crop to 30 %": functools.partial(crop, area=(0.3, 0.3)),
    "rotation by 30": functools.partial(rotate, degrees=(30, 30)),
    "jpeg 10": functools.partial(jpeg, quality=(10, 10)),
    "strong blur": functools.partial(blur, radius=(4, 6)),
    "three emoji": functools.partial(faces, count=3, size=(0.35, 0.5)),
    "small on background": functools.partial(on_background, area=(0.25, 0.35)),
    "eighth size": functools.partial(small, divisor=8),
    "chain of five": chain,
}
EDITS = MILD | HARD


def apply_edits(image: Image.Image, edits: Sequence[str], rng: Generator, other: Image.Image) -> Image.Image:
    """Return an RGB picture after the edits of these names, in this order."""
    for name in edits:
        image = EDITS[name](image, rng, other)
    return image


def draw_stack(depth: int, rng: Generator) -> tuple[str, ...]:
    """Return `depth` different mild edits drawn at random, in the order of `MILD`."""
    names = list(MILD)
    return tuple(names[i] for i in sorted(rng.choice(len(names), depth, replace=False)))
