"""Preprocessing: the arithmetic against hand-made numbers and loops, and JPEG against a golden file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesim.model_spec import ModelSpec
from edgesim.preprocess import decode_image, load_pixels, normalise, resize_image
from edgesim.sample_photos import sample_photos
from tests.image_files import encode, noise

GOLDEN = Path(__file__).parent / "golden"

# Golden tensors: decoding is lossless here, so that only our own arithmetic is under test.


def test_halving_a_ramp_gives_the_numbers_worked_out_by_hand() -> None:
    # Column x is 10 x. At factor 2 the triangle filter spans 4 columns with weights 1, 3, 3, 1 (of 8), so an
    # inner output j is the mean about 2 j + 0.5: 20 j + 5. At the borders one weight falls off the picture:
    # (3 * 0 + 3 * 10 + 1 * 20) / 7 = 7.14 and (1 * 130 + 3 * 140 + 3 * 150) / 7 = 142.86.
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], (16, 1, 3))
    pixels = load_pixels(encode(Image.fromarray(ramp), "PNG"), 8)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    for row in pixels:
        for channel in range(3):
            assert row[:, channel].tolist() == [7, 25, 45, 65, 85, 105, 125, 143]


def triangle_weights(length: int, size: int) -> np.ndarray:
    """Weights (size, length) of an antialiased bilinear resize along one axis, from its definition."""
    scale = length / size
    weights = np.zeros((size, length))
    for target in range(size):
        centre = (target + 0.5) * scale
        for source in range(length):
            weights[target, source] = max(0.0, 1.0 - abs(source + 0.5 - centre) / max(scale, 1.0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("height", "width", "size"), [(37, 53, 16), (16, 90, 32), (9, 11, 24)])
def test_resize_is_antialiased_bilinear(height: int, width: int, size: int) -> None:
    array = noise(height, width)
    across = np.einsum("sw,hwc->hsc", triangle_weights(width, size), array.astype(float))
    expected = np.einsum("sh,hwc->swc", triangle_weights(height, size), across)
    # Pillow rounds to 8 bits after each of the two passes: at most half a level each.
    assert np.abs(resize_image(Image.fromarray(array), size) - expected).max() <= 1.0


def test_a_picture_of_the_right_size_passes_unchanged() -> None:
    array = noise(24, 24)
    assert np.array_equal(load_pixels(encode(Image.fromarray(array), "PNG"), 24), array)


def test_normalise_equals_a_loop_over_pixels() -> None:
    spec = ModelSpec(name="loop", input_size=8, embedding_dim=4, mean=(0.1, 0.5, 0.9), std=(0.25, 0.5, 1.0))
    pixels = noise(4, 5)
    normalised = normalise(pixels, spec)
    assert normalised.dtype == np.float32
    for row in range(4):
        for column in range(5):
            for channel in range(3):
                share = int(pixels[row, column, channel]) / 255.0
                expected = (share - spec.mean[channel]) / spec.std[channel]
                assert normalised[row, column, channel] == pytest.approx(expected, abs=2e-6)


def test_normalise_by_hand() -> None:
    spec = ModelSpec(name="hand", input_size=8, embedding_dim=4, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    white, black = normalise(np.array([[255] * 3, [0] * 3], dtype=np.uint8), spec)
    assert white.tolist() == [1.0, 1.0, 0.0]  # (1 - 0) / 1, (1 - 0.5) / 0.5, (1 - 1) / 0.25
    assert black.tolist() == [0.0, -1.0, -4.0]


# Golden JPEG: the decoder takes part, and a level or two may differ between builds of libjpeg.


def test_golden_jpeg() -> None:
    expected = np.asarray(Image.open(GOLDEN / "scene_32.png")).astype(int)
    difference = np.abs(load_pixels(GOLDEN / "scene.jpg", 32) - expected)
    assert difference.mean() <= 0.5
    assert difference.max() <= 4


def test_golden_jpeg_is_the_scene_that_was_drawn() -> None:
    """The stored pixels are checked by a box average of the full decode: the two cannot be wrong alike."""
    with Image.open(GOLDEN / "scene.jpg") as image:
        boxes = np.asarray(image).reshape(32, 6, 32, 8, 3).mean(axis=(1, 3))
    expected = np.asarray(Image.open(GOLDEN / "scene_32.png"))
    assert np.abs(boxes - expected).mean() < 4.0


@pytest.mark.parametrize("name", ["retina.jpg", "hubble_deep_field.jpg", "china.jpg"])
def test_draft_decoding_is_close_to_the_full_decode(name: str) -> None:
    path = next(photo for photo in sample_photos("this test") if photo.name == name)
    drafted = load_pixels(path, 96)
    full = resize_image(decode_image(path), 96)
    assert not np.array_equal(drafted, full)  # else no draft was made and nothing is tested
    # Measured: 0.3 to 1.6 of 255 levels.
    assert np.abs(drafted.astype(int) - full).mean() < 2.0


@pytest.mark.parametrize(
    ("size", "min_side", "expected"),
    [
        ((256, 256), None, (256, 256)),
        ((256, 256), 129, (256, 256)),
        ((256, 256), 128, (128, 128)),
        ((256, 256), 64, (64, 64)),
        ((256, 256), 8, (32, 32)),  # an eighth is the least
        ((400, 100), 50, (200, 50)),
        ((401, 203), 100, (201, 102)),
        ((100, 100), 200, (100, 100)),
    ],
)
def test_draft_keeps_both_sides_at_least_min_side(
    size: tuple[int, int], min_side: int | None, expected: tuple[int, int]
) -> None:
    data = encode(Image.new("RGB", size, "teal"), "JPEG")
    assert decode_image(data, min_side=min_side).size == expected
