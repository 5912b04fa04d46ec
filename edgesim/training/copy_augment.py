"""Edited copies of images to learn copy detection from: 1 to 5 stacked changes a view, on uint8 arrays.

The kinds of changes are those of the winners of the Image Similarity Challenge 2021 (lyakaap, first of the
descriptor track) and of SSCD (Pizzi et al. 2022, arXiv 2202.10261, section 4.4); their shares, strengths and
order are our choice. Geometry comes first and works on the source's pixels, so that a crop keeps detail; then
what lies on top or around, light, the sensor, and JPEG last, as a copy's history mostly goes.

Shapes: N images, S source side, s output side. Images are RGB, uint8, (height, width, 3).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgesim.training import copy_geometry, copy_overlays, copy_sensor

# OpenCV's annotations leave the dtype open; all images here are uint8.
Pixels = NDArray[Any]
# (image, an unrelated image, source of chance) -> changed image; what is passed in is left as it was.
Change = Callable[[Pixels, Pixels, np.random.Generator], Pixels]

# Every kind by the stage that it belongs to; within a stage the order is drawn anew for each view.
_GEOMETRY, _ON_TOP, _LIGHT, _SENSOR, _FILE = range(5)
_STAGES: dict[str, tuple[int, Change]] = {
    "crop": (_GEOMETRY, copy_geometry.crop),
    "flip": (_GEOMETRY, copy_geometry.flip),
    "upside_down": (_GEOMETRY, copy_geometry.upside_down),
    "quarter_turn": (_GEOMETRY, copy_geometry.quarter_turn),
    "rotation": (_GEOMETRY, copy_geometry.rotation),
    "perspective": (_GEOMETRY, copy_geometry.perspective),
    "overlay": (_ON_TOP, copy_overlays.overlay),
    "paste": (_ON_TOP, copy_overlays.paste),
    "blend": (_ON_TOP, copy_overlays.blend),
    "text": (_ON_TOP, copy_overlays.text),
    "emoji": (_ON_TOP, copy_overlays.emoji),
    "border": (_ON_TOP, copy_overlays.border),
    "screenshot": (_ON_TOP, copy_overlays.screenshot),
    "colour": (_LIGHT, copy_sensor.colour),
    "grey": (_LIGHT, copy_sensor.grey),
    "blur": (_SENSOR, copy_sensor.blur),
    "pixels": (_SENSOR, copy_sensor.pixels),
    "noise": (_SENSOR, copy_sensor.noise),
    "jpeg": (_FILE, copy_sensor.jpeg),
}
KINDS = tuple(_STAGES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopyAugmentConfig:
    """What happens to copies, and how often. All of it is our choice.

    Attributes:
        depth_min: fewest kinds of changes in a view.
        depth_max: most kinds; the number is drawn uniformly.
        mild_share: share of views that get a light change only: cropped a little, perhaps mirrored, a
            little light. They keep clean photographs among what the encoder learns from.
        mild_crop_area_min: smallest share of the picture's area that a mild view keeps.
        crop_area_min: smallest share of the picture's area that a crop keeps.
        crop, flip, upside_down, quarter_turn, rotation, perspective, overlay, paste, blend, text, emoji,
            border, screenshot, colour, grey, blur, pixels, noise, jpeg: weight of each kind. Kinds are drawn
            by weight, each at most once in a view; 0: never.

    Raises:
        ValueError: a share outside its range, a negative weight, or a depth that the kinds do not reach.
    """

    depth_min: int = 1
    depth_max: int = 5
    mild_share: float = 0.15
    mild_crop_area_min: float = 0.6
    crop_area_min: float = 0.2
    crop: float = 3.0
    flip: float = 1.0
    upside_down: float = 0.3
    quarter_turn: float = 0.5
    rotation: float = 1.0
    perspective: float = 1.0
    overlay: float = 1.0
    paste: float = 1.5
    blend: float = 0.5
    text: float = 1.0
    emoji: float = 1.0
    border: float = 0.7
    screenshot: float = 0.7
    colour: float = 2.0
    grey: float = 0.7
    blur: float = 1.0
    pixels: float = 0.7
    noise: float = 0.7
    jpeg: float = 1.5

    def __post_init__(self) -> None:
        for kind, weight in self.weights().items():
            if weight < 0:
                raise ValueError(f"weight of {kind} must be 0 or more, got {weight}")
        possible = sum(weight > 0 for weight in self.weights().values())
        if not 1 <= self.depth_min <= self.depth_max <= possible:
            raise ValueError(
                f"depths must be 1 <= depth_min <= depth_max <= {possible}, the number of kinds in use, "
                f"got {self.depth_min} and {self.depth_max}"
            )
        if not 0 <= self.mild_share <= 1:
            raise ValueError(f"mild_share must be between 0 and 1, got {self.mild_share}")
        for name in ("crop_area_min", "mild_crop_area_min"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")

    def weights(self) -> dict[str, float]:
        """Return kind -> weight, in the order of `KINDS`."""
        return {kind: getattr(self, kind) for kind in KINDS}


class CopyAugment:
    """Draws edited copies. All chance comes from the generators or seeds that are passed in.

    Keeps OpenCV to one thread in this process: images of this size are not worth a second one, and `batch`
    has its own.

    Args:
        config: shares and strengths.
        output_size: s.
    """

    def __init__(self, config: CopyAugmentConfig, output_size: int) -> None:
        cv2.setNumThreads(1)
        self.config, self.output_size = config, output_size
        weights = np.array(list(config.weights().values()))
        self._patience = np.divide(1.0, weights, out=np.full(len(KINDS), np.inf), where=weights > 0)
        self._changes = {kind: change for kind, (_, change) in _STAGES.items()}
        self._changes["crop"] = functools.partial(copy_geometry.crop, area_min=config.crop_area_min)

    def kinds(self, rng: np.random.Generator) -> list[str]:
        """Draw which kinds change a view, in the order in which they are applied; none: a mild view."""
        config = self.config
        if rng.random() < config.mild_share:
            return []
        depth = int(rng.integers(config.depth_min, config.depth_max + 1))
        # The smallest of exponential waiting times are a draw by weight without replacement
        # (Efraimidis & Spirakis 2006, Weighted random sampling with a reservoir), in drawn order.
        first = (rng.standard_exponential(len(KINDS)) * self._patience).argsort()[:depth]
        return sorted((KINDS[number] for number in first), key=lambda kind: _STAGES[kind][0])

    def apply(self, kinds: Sequence[str], image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
        """Change an image (S, S, 3) by these kinds, those of geometry first; returns (s, s, 3)."""
        size, small = self.output_size, False
        for kind in kinds:
            if not small and _STAGES[kind][0] != _GEOMETRY:
                image, small = copy_geometry.resize(image, size, size), True
            image = self._changes[kind](image, other, rng)
        return image if small else copy_geometry.resize(image, size, size)

    def view(self, image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
        """Return one edited copy.

        Args:
            image: (S, S, 3) uint8.
            other: an unrelated image (S, S, 3) uint8, for what shows two of them.
            rng: source of chance.

        Returns:
            (s, s, 3) uint8.
        """
        kinds = self.kinds(rng)
        return self.apply(kinds, image, other, rng) if kinds else self._mild(image, other, rng)

    def _mild(self, image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
        """Crop a little, mirror every second one, and change the light a little."""
        image = copy_geometry.crop(image, other, rng, area_min=self.config.mild_crop_area_min)
        if rng.random() < 0.5:
            image = copy_geometry.flip(image, other, rng)
        image = copy_geometry.resize(image, self.output_size, self.output_size)
        return copy_sensor.colour(image, other, rng, strength=0.2)

    def batch(self, images: Pixels, seeds: int | Sequence[int], threads: int = 1) -> Pixels:
        """Return one view of each image; the seeds alone decide what it is, not the number of threads.

        Args:
            images: (N, S, S, 3) uint8. The unrelated image of a view is another one of these.
            seeds: one for each image, or one for the whole batch.
            threads: how many views are made at a time; OpenCV lets go of the interpreter's lock.

        Returns:
            (N, s, s, 3) uint8.

        Raises:
            ValueError: not as many seeds as images.
        """
        count, size = len(images), self.output_size
        if not isinstance(seeds, int) and len(seeds) != count:
            raise ValueError(f"expected {count} seeds, one for each image, got {len(seeds)}")
        views = np.empty((count, size, size, 3), np.uint8)

        def draw(rows: range) -> None:
            for row in rows:
                rng = np.random.default_rng([seeds, row] if isinstance(seeds, int) else seeds[row])
                other = (row + int(rng.integers(1, max(count, 2)))) % count
                views[row] = self.view(images[row], images[other], rng)

        shares = [range(first, count, threads) for first in range(threads)]
        if threads == 1:
            draw(shares[0])
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(draw, shares))
        return views
