"""Changes of copies that put something on or around the picture. Sizes and strengths are our choice.

Each takes RGB uint8 (s, s, 3) and an unrelated image of any size, and returns (s, s, 3); what it is given is
left as it was. Everything is drawn here: no fonts or pictures of others are needed.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgesim.training.copy_geometry import between, crop, fill_colour, resize

Pixels = NDArray[Any]
Colour = tuple[int, int, int]

_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!?.-#@&%"))
# The colours of most emoji, of hearts, and of what stickers are drawn in.
_STICKERS: tuple[Colour, ...] = ((255, 204, 77), (255, 220, 93), (221, 46, 68), (92, 145, 59), (85, 172, 238))


def overlay(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Lay a part of another image over 6 to 36 % of the picture, anywhere, with an opacity of 0.5 to 1."""
    side = image.shape[0]
    part = crop(other, other, rng)
    across, down, left, top, opacity = rng.random(5).tolist()
    width, height = round(side * between(across, 0.25, 0.6)), round(side * between(down, 0.25, 0.6))
    left, top = round(left * (side - width)), round(top * (side - height))
    view = image.copy()
    box = view[top : top + height, left : left + width]
    opacity = between(opacity, 0.5, 1.0)
    box[:] = cv2.addWeighted(resize(part, width, height), opacity, box, 1 - opacity, 0.0)
    return view


def paste(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Lay the picture onto another image, of whose area it fills 20 to 60 %; one in four is turned."""
    side = image.shape[0]
    area, aspect, left, top, turned, angle = rng.random(6).tolist()
    area, aspect = between(area, 0.2, 0.6), math.exp(between(aspect, -0.2, 0.2))
    width, height = round(side * math.sqrt(area * aspect)), round(side * math.sqrt(area / aspect))
    left, top = round(left * (side - width)), round(top * (side - height))
    canvas = resize(other, side, side).copy()
    small = resize(image, width, height)
    if turned >= 0.25:
        canvas[top : top + height, left : left + width] = small
        return canvas
    # About the picture's own centre, and then to its place; what it does not cover stays as it is.
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), between(angle, -25, 25), 1.0)
    move = np.array([[0, 0, left], [0, 0, top]])
    return cv2.warpAffine(small, turn + move, (side, side), canvas, borderMode=cv2.BORDER_TRANSPARENT)


def blend(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Let another image shine through the picture, which keeps 60 to 85 % of the opacity."""
    own = between(float(rng.random()), 0.6, 0.85)
    side = image.shape[0]
    return cv2.addWeighted(image, own, resize(other, side, side), 1 - own, 0.0)


def text(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Write one to three lines of random words over it, each a twentieth to a fifth of the side tall."""
    side, view = image.shape[0], image.copy()
    lines, font, heavy, boxed = rng.integers((1, 0, 1, 0), (4, 8, 3, 4)).tolist()
    size, left, top = rng.random(3).tolist()
    height = between(size, 0.05, 0.2) * side
    ink, paper = fill_colour(rng), fill_colour(rng)
    for number in range(lines):
        word = "".join(rng.choice(_LETTERS, int(rng.integers(3, 13))))
        # Capital letters of OpenCV's fonts are about 21 pixels tall at scale 1.
        place = (round(left * 0.6 * side), round(top * 0.8 * side + height * (1 + 1.5 * number)))
        if boxed == 0:
            (width, _), _ = cv2.getTextSize(word, font, height / 21, heavy)
            low = (place[0] - 2, round(place[1] - 1.2 * height))
            cv2.rectangle(view, low, (place[0] + width + 2, round(place[1] + 0.3 * height)), paper, -1)
        cv2.putText(view, word, place, font, height / 21, ink, heavy, cv2.LINE_AA)
    return view


def emoji(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Lay 1 to 4 drawn faces, hearts and discs over it, 12 to 40 % of the side wide, opacity 0.7 to 1."""
    side, drawn = image.shape[0], image.copy()
    for shape, sticker in rng.integers(0, (4, len(_STICKERS)), (int(rng.integers(1, 5)), 2)).tolist():
        radius, x, y = rng.random(3).tolist()
        radius = max(3, round(between(radius, 0.06, 0.2) * side))
        centre = (round(x * side), round(y * side))
        if shape < 2:
            _face(drawn, centre, radius, _STICKERS[sticker] if shape else _STICKERS[0], rng)
        elif shape == 2:
            _heart(drawn, centre, radius, _STICKERS[sticker])
        else:
            axes = (radius, max(2, radius * 2 // 3))
            cv2.ellipse(drawn, centre, axes, 360 * x, 0, 360, _STICKERS[sticker], -1, cv2.LINE_AA)
    opacity = between(float(rng.random()), 0.7, 1.0)
    return cv2.addWeighted(drawn, opacity, image, 1 - opacity, 0.0)


def _face(view: Pixels, centre: tuple[int, int], radius: int, skin: Colour, rng: np.random.Generator) -> None:
    """Draw a round face with two eyes and a mouth that smiles, frowns or stands open."""
    x, y = centre
    dark = (102, 69, 0)
    cv2.circle(view, centre, radius, skin, -1, cv2.LINE_AA)
    for side in (-1, 1):
        eye = (x + side * radius * 2 // 5, y - radius // 4)
        cv2.ellipse(view, eye, (max(1, radius // 8), max(1, radius // 5)), 0, 0, 360, dark, -1, cv2.LINE_AA)
    mood = int(rng.integers(0, 3))
    axes, thick = (radius // 2, max(1, radius // 3)), max(1, radius // 8)
    if mood == 0:
        cv2.ellipse(view, (x, y + radius // 5), axes, 0, 0, 180, dark, thick, cv2.LINE_AA)
    elif mood == 1:
        cv2.ellipse(view, (x, y + radius * 3 // 5), axes, 0, 180, 360, dark, thick, cv2.LINE_AA)
    else:
        cv2.ellipse(view, (x, y + radius // 3), axes, 0, 0, 360, dark, -1, cv2.LINE_AA)


def _heart(view: Pixels, centre: tuple[int, int], radius: int, colour: Colour) -> None:
    """Draw a heart: two discs and a triangle."""
    x, y = centre
    half = radius // 2
    for side in (-1, 1):
        cv2.circle(view, (x + side * half, y - half // 2), max(1, round(half * 1.1)), colour, -1, cv2.LINE_AA)
    corners = np.array([(x - radius, y - half // 4), (x + radius, y - half // 4), (x, y + radius)], np.int32)
    cv2.fillConvexPoly(view, corners, colour, cv2.LINE_AA)


def border(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Shrink it into a frame of 3 to 15 %, or between two bars of 5 to 25 %, of one colour or blurred."""
    side = image.shape[0]
    kind, wide, blurred = rng.random(3).tolist()
    if kind < 0.5:
        across = down = round(between(wide, 0.03, 0.15) * side)
    else:
        bar = round(between(wide, 0.05, 0.25) * side)
        across, down = (bar, 0) if kind < 0.75 else (0, bar)
    if blurred < 0.3:
        # Blurred at an eighth of the size: cheaper, and nobody sees the difference.
        small = cv2.GaussianBlur(resize(image, side // 8, side // 8), (0, 0), 1.5)
        canvas = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    else:
        canvas = np.full_like(image, fill_colour(rng))
    canvas[down : side - down, across : side - across] = resize(image, side - 2 * across, side - 2 * down)
    return canvas


def screenshot(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """Show it in a telephone's or a window's screen: bars above and below, margins, lines of writing."""
    side = image.shape[0]
    top, bottom, left, right, dark = rng.random(5).tolist()
    top, bottom = round(between(top, 0.08, 0.25) * side), round(between(bottom, 0.05, 0.25) * side)
    left, right = (round(between(margin, -0.08, 0.08) * side) for margin in (left, right))
    left, right = max(0, left), max(0, right)
    paper, ink = (24, 235) if dark < 0.4 else (247, 60)
    view = np.full_like(image, paper)
    _status_bar(view, side, top, ink, rng)
    _writing(view, side - bottom, ink, rng)
    inner = resize(image, side - left - right, side - top - bottom)
    view[top : side - bottom, left : side - right] = inner
    return view


def _status_bar(view: Pixels, side: int, height: int, ink: int, rng: np.random.Generator) -> None:
    """Draw a clock and a battery, or three buttons of a window, into the first rows."""
    window, hour, minute = rng.integers((0, 0, 0), (2, 24, 60)).tolist()
    line = max(3, round(0.04 * side))
    if window:
        for number, button in enumerate(((255, 95, 87), (254, 188, 46), (40, 200, 64))):
            cv2.circle(view, (line * (2 + 3 * number) // 2, line), max(1, line // 2), button, -1, cv2.LINE_AA)
        cv2.line(view, (0, 2 * line), (side, 2 * line), (128, 128, 128))
    else:
        clock = f"{hour}:{minute:02d}"
        cv2.putText(view, clock, (line, 2 * line), cv2.FONT_HERSHEY_SIMPLEX, line / 18, (ink,) * 3, 1, 16)
        cv2.rectangle(view, (side - 3 * line, line), (side - line, 2 * line), (ink,) * 3, -1)
    if height > 4 * line:
        cv2.circle(view, (2 * line, height - line), line * 3 // 4, (120, 120, 120), -1, cv2.LINE_AA)
        cv2.line(view, (4 * line, height - line), (side // 2, height - line), (ink,) * 3, max(1, line // 3))


def _writing(view: Pixels, top: int, ink: int, rng: np.random.Generator) -> None:
    """Draw lines of writing, each a bar of its own length, from a row to the last."""
    side = view.shape[0]
    step = max(4, side // 20)
    for row, length in zip(range(top + step // 2, side, step), rng.random(side), strict=False):
        end = round(side * between(float(length), 0.2, 0.9))
        cv2.line(view, (step, row), (end, row), (ink,) * 3, max(1, step // 3))
