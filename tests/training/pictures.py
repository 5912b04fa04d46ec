"""Pictures that a small encoder learns to tell apart in seconds."""

import numpy as np

from edgesim.training.datasets import ImageSet


def corner_squares(count: int, noise: int) -> ImageSet:
    """Return pictures of 4 classes: a bright square in one of the corners, over noise below `noise`."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 4
    pixels = rng.integers(0, noise, (count, 16, 16, 3)).astype(np.uint8)
    for picture, label in zip(pixels, labels, strict=True):
        row, column = divmod(int(label), 2)
        picture[row * 8 : row * 8 + 7, column * 8 : column * 8 + 7] = 255
    return ImageSet(pixels, labels.astype(np.int64), ("a", "b", "c", "d"))
