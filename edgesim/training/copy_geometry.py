"""Changes of copies that move pixels: crop, mirror, turn, tilt. Strengths are our choice.

Each takes and returns RGB uint8 (height, width, 3) and leaves what it is given as it was; the second
argument, an unrelated image, is for the kinds that need one.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]


def resize(image: Pixels, width: int, height: int) -> Pixels:
    """Resize by area where both sides shrink, as an antialiasing filter does, else bilinearly."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def between(share: float, low: float, high: float) -> float:
    """Map 0..1 to low..high."""
    return low + share * (high - low)


def fill_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw what an empty area is filled with: white, black or any grey, or any colour."""
    kind, *colour = rng.integers(0, 256, 4).tolist()
    if kind < 128:
        return (255, 255, 255) if kind < 64 else (0, 0, 0)
    return (colour[0], colour[0], colour[0]) if kind < 160 else (colour[0], colour[1], colour[2])


def crop(image: Pixels, other: Pixels, rng: np.random.Generator, area_min: float = 0.2) -> Pixels:
    """Cut out a part of `area_min` to all of the area, aspect ratio 3/4 to 4/3 of the picture's, anywhere."""
    height, width = image.shape[:2]
    area, aspect, down, right = rng.random(4).tolist()
    area = between(area, area_min, 1.0)
    # A large part cannot be far from the picture's own shape.
    reach = min(math.log(4 / 3), -math.log(area))
    aspect = math.exp(between(aspect, -reach, reach))
    part_width = max(1, min(width, round(width * math.sqrt(area * aspect))))
    part_height = max(1, min(height, round(height * math.sqrt(area / aspect))))
    left, top = int(right * (width - part_width + 1)), int(down * (height - part_height + 1))
    return image[top : top + part_height, left : left + part_width]


def flip(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Mirror left to right."""
    return cv2.flip(image, 1)


def upside_down(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Mirror top to bottom."""
    return cv2.flip(image, 0)


def quarter_turn(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn by 90, 180 or 270 degrees."""
    return cv2.rotate(image, int(rng.integers(0, 3)))


def rotation(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn by 3 to 30 degrees either way (three of five) or by any angle, the corners cut off or kept."""
    small, angle, size = rng.random(3).tolist()
    if small < 0.6:
        degrees = math.copysign(between(abs(2 * angle - 1), 3, 30), angle - 0.5)
    else:
        degrees = between(angle, -180, 180)
    height, width = image.shape[:2]
    # At this scale the turned picture still fits into its frame.
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    fits = 1 / max(cosine + sine * height / width, cosine + sine * width / height)
    return rotated(image, degrees, between(size, fits, 1.0), _surroundings(rng))


def rotated(image: Pixels, degrees: float, scale: float, fill: tuple[int, int, int] | None) -> Pixels:
    """Turn counterclockwise about the centre and scale, on a colour or (None) on the reflected picture."""
    height, width = image.shape[:2]
    # OpenCV's pixel centres lie on whole numbers.
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    mode = cv2.BORDER_REFLECT_101 if fill is None else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, matrix, (width, height), borderMode=mode, borderValue=fill or (0, 0, 0))


def perspective(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Move each corner by up to a fifth of the side inwards or a tenth outwards, as a tilted camera does."""
    height, width = image.shape[:2]
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    inwards = 1 - 2 * square
    corners = square + inwards * (rng.random((4, 2), np.float32) * 0.3 - 0.1)
    side = np.array([width - 1, height - 1], np.float32)
    fill = _surroundings(rng)
    return cv2.warpPerspective(
        image,
        cv2.getPerspectiveTransform(square * side, corners * side),
        (width, height),
        borderMode=cv2.BORDER_REFLECT_101 if fill is None else cv2.BORDER_CONSTANT,
        borderValue=fill or (0, 0, 0),
    )


def _surroundings(rng: np.random.Generator) -> tuple[int, int, int] | None:
    """Draw what shows beside a turned picture: a colour, or once in five its reflection (None)."""
    return None if rng.random() < 0.2 else fill_colour(rng)
