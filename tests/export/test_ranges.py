"""The ranges of activations, against all values at once, sorted by NumPy."""

import dataclasses

import numpy as np
import pytest

from edgesim_export.ranges import find_ranges
from edgesim_export.recipe import load_recipe

RECIPE = load_recipe("onnx_static_w8a8_pc")
RNG = np.random.default_rng(0)
IMAGES = [
    {"wide": RNG.standard_normal((1, 30, 30, 4)).astype(np.float32) ** 3, "flat": np.full(5, 7, np.float32)}
    for _ in range(6)
]
WIDE = np.concatenate([image["wide"].ravel() for image in IMAGES])


def ranges(**changes):
    return find_ranges(lambda: iter(IMAGES), dataclasses.replace(RECIPE, **changes))


def test_min_max_is_the_extremes_of_all_images():
    assert ranges() == {"wide": (WIDE.min(), WIDE.max()), "flat": (7, 7)}


@pytest.mark.parametrize("percentile", [60.0, 99.0, 99.9])
def test_a_percentile_leaves_as_many_values_below_as_above(percentile):
    low, high = ranges(calibration="percentile", percentile=percentile)["wide"]
    # By rank, for between two rare values there is no value to find.
    cut = int((1 - percentile / 100) / 2 * len(WIDE))
    expected = np.sort(WIDE)[[cut, -1 - cut]]
    # As fine as values are counted.
    step = (WIDE.max() - WIDE.min()) / 16_384
    np.testing.assert_allclose([low, high], expected, atol=step)
    inside = ((low <= WIDE) & (high >= WIDE)).mean()
    assert inside == pytest.approx(percentile / 100, abs=0.01)


def test_the_whole_of_the_values_is_min_max():
    assert ranges(calibration="percentile", percentile=100.0) == ranges()


def test_values_that_are_all_the_same_keep_a_range():
    assert ranges(calibration="percentile", percentile=99.0)["flat"] == (7, 7)
