"""The ranges that the activations of a float model take, from which its int8 scales follow.

- `min_max`: from the smallest to the largest value over all calibration images.
- `percentile`: the range that holds so many of 100 of these values; of the rest, half lies below it and half
  above. It gives up rare values for finer steps. Values are counted in `_BINS` equal steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from edgesim_export.recipe import Recipe

# Tensor name -> all its values for one image.
Activations = Mapping[str, NDArray[np.float32]]
# Runs the model over the calibration images once more.
Observe = Callable[[], Iterator[Activations]]
# Tensor name -> smallest and largest value.
Ranges = dict[str, tuple[np.float32, np.float32]]

# 64 for each of the 256 steps that int8 has.
_BINS = 16_384


def find_ranges(observe: Observe, recipe: Recipe, gelu_inputs: Iterable[str] = ()) -> Ranges:
    """Return the range of every activation by the recipe's method.

    Args:
        observe: yields the activations image by image; called once for `min_max`, twice for `percentile`.
        recipe: of mode `static`.
        gelu_inputs: names of the tensors that end at the recipe's `gelu_input_min`.
    """
    ranges = _extremes(observe())
    if recipe.calibration == "percentile":
        counts = _histograms(observe(), ranges)
        ranges = {name: _cut(counts[name], *ranges[name], recipe.percentile) for name in ranges}
    for name in gelu_inputs:
        low, high = ranges[name]
        ranges[name] = (max(low, np.float32(recipe.gelu_input_min)), high)
    return ranges


def _extremes(images: Iterator[Activations]) -> Ranges:
    ranges: Ranges = {}
    for activations in images:
        for name, values in activations.items():
            low, high = ranges.get(name, (np.float32(np.inf), np.float32(-np.inf)))
            ranges[name] = (np.minimum(low, values.min()), np.maximum(high, values.max()))
    return ranges


def _histograms(images: Iterator[Activations], extremes: Ranges) -> dict[str, NDArray[np.int64]]:
    counts = {name: np.zeros(_BINS, dtype=np.int64) for name in extremes}
    for activations in images:
        for name, values in activations.items():
            counts[name] += np.histogram(values, _BINS, range=_wide(*extremes[name]))[0]
    return counts


def _wide(low: np.float32, high: np.float32) -> tuple[float, float]:
    """Return a range of some width, in which values that are all the same can be counted."""
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1)


def _cut(
    counts: NDArray[np.int64], low: np.float32, high: np.float32, percentile: float
) -> tuple[np.float32, np.float32]:
    edges = np.linspace(*_wide(low, high), _BINS + 1)
    outside = (1 - percentile / 100) / 2 * counts.sum()
    first = int(np.searchsorted(np.cumsum(counts), outside, side="right"))
    last = _BINS - int(np.searchsorted(np.cumsum(counts[::-1]), outside, side="right"))
    return max(np.float32(edges[first]), low), min(np.float32(edges[last]), high)
