"""The edits of the copy benchmark: made by their seed alone, and as strong as they promise."""

import numpy as np
import pytest
from copy_detection import edits
from PIL import Image

SEEDS = range(8)
SIZE = (192, 144)
WITHOUT_CHANCE = ("mirror", "grey", "quarter size", "eighth size", "jpeg 10")


def picture(seed, size=SIZE):
    """Return a picture of coloured fields, without black, white and the grey of a rotation's corners."""
    fields = np.random.default_rng(seed).integers(10, 120, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(fields).resize(size, Image.Resampling.NEAREST)


IMAGE, OTHER = picture(1), Image.new("RGB", (50, 90), (255, 255, 255))


def edited(name, seed, image=IMAGE, other=OTHER):
    return edits.apply_edits(image, [name], np.random.default_rng(seed), other)


def share_not(image, colour):
    """Return the share of the pixels that are not of a colour."""
    return float((np.asarray(image) != colour).any(axis=2).mean())


@pytest.mark.parametrize("name", edits.EDITS)
def test_an_edit_is_a_function_of_picture_and_seed(name):
    before = IMAGE.copy()
    first, again = edited(name, 3), edited(name, 3)
    assert (first.mode, first.tobytes()) == ("RGB", again.tobytes())
    assert first.size != IMAGE.size or first.tobytes() != IMAGE.tobytes()
    assert before == IMAGE


@pytest.mark.parametrize("name", [name for name in edits.EDITS if name not in WITHOUT_CHANCE])
def test_an_edit_with_chance_in_it_differs_between_seeds(name):
    assert len({edited(name, seed).tobytes() for seed in SEEDS}) > 1


@pytest.mark.parametrize(("name", "low", "high"), [("crop", 0.5, 0.7), ("crop to 30 %", 0.3, 0.3)])
def test_a_crop_keeps_its_share_of_the_area(name, low, high):
    for seed in SEEDS:
        cropped = edited(name, seed)
        assert low - 0.01 <= np.prod(cropped.size) / np.prod(SIZE) <= high + 0.01
        assert cropped.width / cropped.height == pytest.approx(4 / 3, abs=0.03)


@pytest.mark.parametrize(("name", "low", "high"), [("rotation", 5, 25), ("rotation by 30", 30, 30)])
def test_a_rotation_turns_by_its_angle(name, low, high):
    for seed in SEEDS:
        turned = edited(name, seed)
        # A turned rectangle w x h fills a box of w cos a + h sin a to w sin a + h cos a.
        angles = np.radians(np.arange(0, 45, 0.05))
        widths = 192 * np.cos(angles) + 144 * np.sin(angles)
        heights = 192 * np.sin(angles) + 144 * np.cos(angles)
        error = abs(widths - turned.width) + abs(heights - turned.height)
        assert low - 1 <= np.degrees(angles[error.argmin()]) <= high + 1
        assert turned.getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("background", 0.5, 0.7), ("small on background", 0.25, 0.35)]
)
def test_a_picture_fills_its_share_of_a_background(name, low, high):
    for seed in SEEDS:
        laid = edited(name, seed)
        assert laid.size == SIZE
        assert low - 0.02 <= share_not(laid, (255, 255, 255)) <= high + 0.02


def test_a_border_is_added_around_the_whole_picture():
    for seed in SEEDS:
        framed = edited("border", seed)
        assert all(1.1 <= after / before <= 1.41 for after, before in zip(framed.size, SIZE, strict=True))
        corner = framed.getpixel((0, 0))
        inside = (np.asarray(framed) != corner).any(axis=2)
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        kept = framed.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        assert kept == IMAGE


def test_a_mirrored_picture_mirrored_again_is_the_picture():
    assert edited("mirror", 0) != IMAGE
    assert edited("mirror", 0, edited("mirror", 0)) == IMAGE


def test_grey_has_no_colour():
    pixels = np.asarray(edited("grey", 0))
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize(("name", "size"), [("quarter size", (48, 36)), ("eighth size", (24, 18))])
def test_sizes_are_divided_and_stay_8_pixels(name, size):
    assert edited(name, 0).size == size
    assert edited(name, 0, picture(0, (30, 20))).size == (8, 8)


@pytest.mark.parametrize(
    ("name", "count", "low", "high"), [("emoji", 1, 0.25, 0.4), ("three emoji", 3, 0.35, 0.5)]
)
def test_faces_cover_what_they_promise(name, count, low, high):
    black = Image.new("RGB", (144, 144))
    for seed in SEEDS:
        covered = share_not(edited(name, seed, black), (0, 0, 0))
        assert np.pi / 4 * low**2 * 0.9 <= covered <= count * np.pi / 4 * high**2 * 1.1


@pytest.mark.parametrize(("name", "low", "high"), [("blur", 1, 2), ("strong blur", 4, 6)])
def test_a_blur_spreads_a_line_by_its_radius(name, low, high):
    line = np.zeros((256, 256, 3), np.uint8)
    line[:, 127:130] = 255
    places = np.arange(256) - 128
    for seed in SEEDS:
        profile = np.asarray(edited(name, seed, Image.fromarray(line)), np.float64)[128, :, 0]
        deviation = np.sqrt((profile * places**2).sum() / profile.sum())
        assert low - 0.2 <= deviation <= high + 0.5


def test_jpeg_10_is_worse_than_any_mild_jpeg():
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))

    def error(name, seed):
        return np.abs(np.asarray(edited(name, seed, photo), int) - np.asarray(photo, int)).mean()

    assert error("jpeg 10", 0) > max(error("jpeg", seed) for seed in SEEDS) > 0


def test_a_stack_is_of_different_mild_edits_in_their_order():
    order = list(edits.MILD)
    drawn = set()
    for seed in range(50):
        stack = edits.draw_stack(2 + seed % 4, np.random.default_rng(seed))
        places = [order.index(name) for name in stack]
        assert len(stack) == 2 + seed % 4
        assert places == sorted(set(places))
        drawn |= set(stack)
    assert drawn == set(order)


def test_the_chain_is_of_five_mild_edits():
    assert len(set(edits.CHAIN)) == 5
    assert set(edits.CHAIN) <= set(edits.MILD)
