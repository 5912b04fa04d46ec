"""Edited copies: each edit does what its name says, by the strength its docstring gives, repeatably."""

import numpy as np
import pytest
from PIL import Image

from edgesim.edits import EDITS, edited_copy

SEEDS = range(30)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Every pixel differs from its neighbours, so that a part of the picture can be found again."""
    rows, columns = np.mgrid[0:120, 0:200]
    return Image.fromarray(np.stack([columns, rows * 2, (rows + columns) % 200], axis=2).astype(np.uint8))


@pytest.fixture(scope="module")
def background() -> Image.Image:
    return Image.new("RGB", (64, 48), (255, 0, 255))


def array(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def test_the_six_edits() -> None:
    assert list(EDITS) == ["crop", "rotation", "jpeg", "text", "brightness", "paste"]


@pytest.mark.parametrize("edit", EDITS)
def test_a_copy_depends_on_the_seed_and_on_nothing_else(
    edit: str, picture: Image.Image, background: Image.Image
) -> None:
    before = array(picture).copy()
    first, again = (array(edited_copy(picture, edit, 5, background)) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(array(picture), before)  # the original is not drawn upon
    assert first.shape != before.shape or not np.array_equal(first, before)
    if edit != "jpeg":
        others = [array(edited_copy(picture, edit, seed, background)) for seed in range(6, 9)]
        assert any(other.shape != first.shape or not np.array_equal(other, first) for other in others)


def test_crop_keeps_60_to_75_percent_of_each_side(picture: Image.Image, background: Image.Image) -> None:
    whole = array(picture)
    for seed in SEEDS:
        part = array(edited_copy(picture, "crop", seed, background))
        height, width = part.shape[:2]
        assert 0.6 * 120 - 0.5 <= height <= 0.75 * 120 + 0.5
        assert 0.6 * 200 - 0.5 <= width <= 0.75 * 200 + 0.5
        left, top = int(part[0, 0, 0]), int(part[0, 0, 1]) // 2  # red is the column, green twice the row
        assert np.array_equal(part, whole[top : top + height, left : left + width])


def test_rotation_turns_by_10_to_25_degrees_on_grey(background: Image.Image) -> None:
    turned = set()
    for seed in SEEDS:
        copy = edited_copy(Image.new("RGB", (400, 200), (255, 0, 0)), "rotation", seed, background)
        assert copy.getpixel((0, 0)) == (128, 128, 128)
        # A w x h rectangle turned by t needs (w cos t + h sin t) x (w sin t + h cos t).
        angles = np.radians(np.arange(10, 25.01, 0.01))
        widths = 400 * np.cos(angles) + 200 * np.sin(angles)
        heights = 400 * np.sin(angles) + 200 * np.cos(angles)
        misfit = np.abs(widths - copy.width) + np.abs(heights - copy.height)
        assert misfit.min() < 4
        # Turned counterclockwise, the right half of the top line is the first to meet the picture.
        reddest_column = int(np.argmax(array(copy)[:3, :, 0].sum(axis=0)))
        turned.add(reddest_column > copy.width / 2)
    assert turned == {True, False}


def test_jpeg_is_of_quality_20(picture: Image.Image, background: Image.Image, tmp_path: object) -> None:
    path = f"{tmp_path}/quality-20.jpg"
    picture.save(path, quality=20)
    with Image.open(path) as compressed:
        expected = array(compressed.convert("RGB"))
    assert np.array_equal(array(edited_copy(picture, "jpeg", 0, background)), expected)


def test_text_covers_a_part_and_leaves_the_rest(picture: Image.Image, background: Image.Image) -> None:
    for seed in SEEDS:
        copy = array(edited_copy(picture, "text", seed, background))
        changed = (copy != array(picture)).any(axis=2)
        assert 0.005 < changed.mean() < 0.15
        rows = np.flatnonzero(changed.any(axis=1))
        assert 8 <= rows[-1] - rows[0] + 1 <= 120 / 4  # a sixth of 120 is 20, capitals and digits are lower


def test_brightness_by_its_factor(background: Image.Image) -> None:
    factors = []
    for seed in SEEDS:
        copy = array(edited_copy(Image.new("RGB", (16, 16), (100, 100, 100)), "brightness", seed, background))
        assert copy.min() == copy.max()
        factors.append(copy.mean() / 100)
    darkened = [factor for factor in factors if factor < 1]
    brightened = [factor for factor in factors if factor > 1]
    assert darkened
    assert brightened
    assert all(0.49 <= factor <= 0.7 for factor in darkened)
    assert all(1.29 <= factor <= 1.6 for factor in brightened)


def test_paste_lays_the_picture_on_the_background(background: Image.Image) -> None:
    picture = Image.new("RGB", (200, 120), (0, 255, 0))
    for seed in SEEDS:
        copy = array(edited_copy(picture, "paste", seed, background))
        assert copy.shape == (120, 200, 3)
        green = (copy == (0, 255, 0)).all(axis=2)
        magenta = (copy == (255, 0, 255)).all(axis=2)
        assert (green | magenta).all()
        rows, columns = np.flatnonzero(green.any(axis=1)), np.flatnonzero(green.any(axis=0))
        assert green.sum() == len(rows) * len(columns)  # one rectangle
        assert len(rows) / 120 == pytest.approx(len(columns) / 200, abs=0.01)  # its shape is kept


def test_an_unknown_edit(picture: Image.Image, background: Image.Image) -> None:
    with pytest.raises(KeyError):
        edited_copy(picture, "blur", 0, background)
