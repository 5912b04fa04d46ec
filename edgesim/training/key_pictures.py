"""What the keys of QK Iteration are made of: the images, then random crops of each."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.preprocess import resize_pixels
from edgesim.training import copy_geometry

# So many are cut at their own size at a time.
_PART = 256


class Pictures(Protocol):
    """Pictures (N, S, S, 3) uint8 that are looked at some at a time; an array is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.intp], /) -> NDArray[np.uint8]: ...


class KeyPictures:
    """The images and crops of each, cut anew whenever they are looked at, so that they take no memory.

    Row i * N + j is crop i of image j; crop 0 is the whole. A crop keeps half of the area or more.

    Args:
        images: (N, S, S, 3) uint8.
        crops: pictures of each image, the whole counted.
        seed: decides where the crops lie.
    """

    def __init__(self, images: NDArray[np.uint8], crops: int, seed: int) -> None:
        self.images, self.crops, self.seed = images, crops, seed

    def __len__(self) -> int:
        return len(self.images) * self.crops

    def __getitem__(self, rows: slice | NDArray[np.intp], /) -> NDArray[np.uint8]:
        chosen = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        numbers, images = np.divmod(chosen, len(self.images))
        # Indexed by numbers, an array is copied: the crops go into the copy.
        made: NDArray[np.uint8] = self.images[images]
        for picture, number, image in zip(made, numbers.tolist(), images.tolist(), strict=True):
            if number > 0:
                picture[:] = self._crop(picture, number, image)
        return made

    def resized(self, size: int) -> NDArray[np.uint8]:
        """Return all of them, (N * crops, size, size, 3), for who looks at them again and again."""
        if self.crops == 1:
            return resize_pixels(self.images, size)
        made = np.empty((len(self), size, size, 3), np.uint8)
        for start in range(0, len(self), _PART):
            part = slice(start, start + _PART)
            made[part] = resize_pixels(self[part], size)
        return made

    def _crop(self, picture: NDArray[np.uint8], number: int, image: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([self.seed, number, image])
        height, width = picture.shape[:2]
        part = copy_geometry.crop(picture, picture, rng, area_min=0.5)
        return copy_geometry.resize(part, width, height)
