"""Occlusion maps against a plain loop, and on pictures that share a quadrant, with the built-in encoder."""

import numpy as np
import pytest

from edgesim.metrics import FloatArray, l2_normalise
from edgesim.occlusion import CELLS, EMBEDDINGS, PATCH, occlusion_map
from edgesim.preprocess import Pixels, decode_image, resize_image
from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.sample_photos import sample_photos
from tests.image_files import noise

calls: list[int] = []


def brightness_of_parts(pixels: Pixels) -> FloatArray:
    """An embedding that is easy to see through: the mean of each ninth of the picture."""
    calls.append(len(pixels))
    thirds = np.array_split(np.arange(pixels.shape[1]), 3)
    parts = [pixels[:, rows][:, :, columns].mean(axis=(1, 2, 3)) for rows in thirds for columns in thirds]
    return l2_normalise(np.stack(parts, axis=1).astype(np.float32))


@pytest.mark.parametrize("size", [8, 30, 64])
def test_by_a_plain_loop(size: int) -> None:
    pixels = noise(size, size, seed=1)
    target = l2_normalise(np.random.default_rng(2).random(9).astype(np.float32))
    calls.clear()
    found = occlusion_map(brightness_of_parts, pixels, target)
    assert sum(calls) == EMBEDDINGS + 1 == 101
    edges = [round(size * cell / CELLS) for cell in range(CELLS + 1)]
    mean = np.round(pixels.reshape(-1, 3).mean(axis=0))
    falls: dict[tuple[int, int], list[float]] = {}
    for top in range(1 - PATCH, CELLS):
        for left in range(1 - PATCH, CELLS):
            cells = [
                (row, column)
                for row in range(top, top + PATCH)
                for column in range(left, left + PATCH)
                if 0 <= row < CELLS and 0 <= column < CELLS
            ]
            hidden = pixels.copy()
            for row, column in cells:
                hidden[edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = mean
            fall = float((brightness_of_parts(pixels[None]) - brightness_of_parts(hidden[None]))[0] @ target)
            for cell in cells:
                falls.setdefault(cell, []).append(fall)
    assert {len(values) for values in falls.values()} == {PATCH**2}
    expected = [[np.mean(falls[row, column]) for column in range(CELLS)] for row in range(CELLS)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def copy() -> Embedder:
    return Embedder(open_bundle("copy"))


@pytest.mark.parametrize("quadrant", range(4))
def test_two_photos_that_share_one_quadrant_agree_there(copy: Embedder, quadrant: int) -> None:
    size = copy.bundle.spec.input_size
    photos = {path.stem: path for path in sample_photos("the tests")}
    first, second = (resize_image(decode_image(photos[name]), size) for name in ("motorcycle_left", "retina"))
    half = size // 2
    row, column = divmod(quadrant, 2)
    shared = (slice(row * half, (row + 1) * half), slice(column * half, (column + 1) * half))
    second[shared] = first[shared]
    vectors = copy.embed_pixels(np.stack([first, second]))
    means = [
        occlusion_map(copy.embed_pixels, pixels, target).reshape(2, 4, 2, 4).mean(axis=(1, 3)).ravel()
        for pixels, target in ((first, vectors[1]), (second, vectors[0]))
    ]
    assert [int(one.argmax()) for one in means] == [quadrant, quadrant]
    # Of the picture that has the quadrant from the other one nothing else matters half as much.
    assert means[1][quadrant] > max(0.05, 2 * np.delete(means[1], quadrant).max())
