"""What the keys of QK Iteration are made of: the images, then random crops of each."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.training import copy_geometry


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
        chosen = np.arange(len(self))[rows]
        numbers, images = np.divmod(chosen, len(self.images))
        # Indexed by numbers, an array is copied: the crops go into the copy.
        made: NDArray[np.uint8] = self.images[images]
        for picture, number, image in zip(made, numbers.tolist(), images.tolist(), strict=True):
            if number > 0:
                picture[:] = self._crop(picture, number, image)
        return made

    def _crop(self, picture: NDArray[np.uint8], number: int, image: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([self.seed, number, image])
        height, width = picture.shape[:2]
        part = copy_geometry.crop(picture, picture, rng, area_min=0.5)
        return copy_geometry.resize(part, width, height)
