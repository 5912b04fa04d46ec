"""Changes of copies in light, sharpness and coding. Strengths are our choice.

Each takes and returns RGB uint8 (height, width, 3) and leaves what it is given as it was; the second
argument, an unrelated image, is for the kinds that need one. Lengths in pixels are those of a picture of 128
pixels, and grow with it.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgesim.training.copy_geometry import between

Pixels = NDArray[Any]

# Luma of ITU-R BT.601, as JPEG uses it, and the axes of NTSC's YIQ, between which hue is an angle.
_LUMA = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def colour(image: Pixels, other: Pixels, rng: np.random.Generator, strength: float = 0.5) -> Pixels:
    """Change brightness, contrast, saturation by up to +-`strength`, hue by a quarter of it of a turn."""
    light, contrast, saturation, hue = (2 * rng.random(4) - 1).tolist()
    return recoloured(
        image, 1 + strength * light, 1 + strength * contrast, 1 + strength * saturation, strength / 4 * hue
    )


def recoloured(image: Pixels, brightness: float, contrast: float, saturation: float, hue: float) -> Pixels:
    """Multiply brightness, contrast (about the mean luma) and saturation; turn hue (1: once around).

    All four are affine in RGB, so that one pass over the pixels does them, cut off at 0 and 255 at its end.
    """
    turn, amount = 2 * math.pi * hue, saturation
    cosine, sine = amount * math.cos(turn), amount * math.sin(turn)
    in_yiq = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    matrix = brightness * contrast * (_FROM_YIQ @ in_yiq @ _TO_YIQ)
    mean = brightness * float(_LUMA @ cv2.mean(image)[:3])
    return cv2.transform(image, np.column_stack([matrix, np.full(3, mean * (1 - contrast))]))


def grey(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Set all channels to the luma of ITU-R BT.601."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blur(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Blur with a Gaussian of 0.5 to 3 pixels (as often below 1.2 as above), once in eight of 3 to 5."""
    strong, sigma = rng.random(2).tolist()
    sigma = between(sigma, 3, 5) if strong < 0.125 else 0.5 * 6**sigma
    return cv2.GaussianBlur(image, (0, 0), sigma * image.shape[0] / 128)


def pixels(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Reduce to 1/2 to 1/8 of the side (as often above 1/4 as below), enlarge by repeating pixels."""
    height, width = image.shape[:2]
    factor = 2 * 4 ** float(rng.random())
    small = cv2.resize(image, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def noise(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Add Gaussian noise of 3 to 25 levels to every channel of every pixel."""
    sigma = between(float(rng.random()), 3, 25)
    drawn = rng.standard_normal(image.shape, np.float32)
    return cv2.addWeighted(image, 1.0, drawn, sigma, 0.0, dtype=cv2.CV_8U)


def jpeg(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Write as JPEG of quality 5 to 60 and read again, chroma at half the resolution as cameras do it."""
    return jpeg_round_trip(image, int(rng.integers(5, 61)))


def jpeg_round_trip(image: Pixels, quality: int) -> Pixels:
    """Write as JPEG of this quality and read again."""
    # OpenCV's order is blue, green, red, which JPEG's luma does not take for another.
    reversed_ = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, written = cv2.imencode(".jpg", reversed_, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(written, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
