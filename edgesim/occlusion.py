"""Which regions of a picture make it similar to another: parts of it are hidden, and the similarity falls.

Occlusion sensitivity (Zeiler and Fergus 2014, arXiv 1311.2901, section 4.2), with the similarity of two
embeddings in place of a class. It asks nothing of an encoder but embeddings, so that it works with the int8
encoder of a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgesim.metrics import FloatArray
from edgesim.preprocess import Pixels

# Cells of a map in each direction, and how many of them a patch hides in each. Smaller patches change an
# embedding of a whole picture too little to say much. Our choice.
CELLS = 8
PATCH = 3
# How often a picture is embedded for one map: a patch at every place that hides one cell at least.
EMBEDDINGS = (CELLS + PATCH - 1) ** 2

_BATCH = 25


def occlusion_map(embed: Callable[[Pixels], FloatArray], pixels: Pixels, target: FloatArray) -> FloatArray:
    """Return by how much the similarity to `target` falls when each region is hidden.

    A patch in the picture's mean colour is moved over it, cell by cell and over its rim; of each cell the
    mean over the patches that hide it is returned. Below 0 the picture is more similar without the region.

    Args:
        embed: from RGB pixels (N, S, S, 3), uint8, to L2-normalised embeddings (N, D).
        pixels: the picture (S, S, 3); S is 8 at least.
        target: the other picture's L2-normalised embedding (D,).

    Returns:
        (8, 8) float32, row by row from the top left.
    """
    whole = float(embed(pixels[None])[0] @ target)
    places = list(_places())
    falls: list[float] = []
    for start in range(0, len(places), _BATCH):
        hidden = np.stack([_hide(pixels, place) for place in places[start : start + _BATCH]])
        falls += (whole - embed(hidden) @ target).tolist()
    total, count = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for (rows, columns), fall in zip(places, falls, strict=True):
        total[rows, columns] += fall
        count[rows, columns] += 1
    return np.asarray(total / count, dtype=np.float32)


def _places() -> Iterator[tuple[slice, slice]]:
    """Yield the cells that each patch hides."""
    spans = [slice(max(0, first), first + PATCH) for first in range(1 - PATCH, CELLS)]
    for rows in spans:
        for columns in spans:
            yield rows, columns


def _hide(pixels: Pixels, place: tuple[slice, slice]) -> Pixels:
    edges = np.linspace(0, len(pixels), CELLS + 1).round().astype(int)
    rows, columns = (slice(edges[span.start], edges[min(span.stop, CELLS)]) for span in place)
    hidden = pixels.copy()
    hidden[rows, columns] = pixels.mean(axis=(0, 1)).round()
    return hidden
