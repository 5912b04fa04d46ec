"""What happens to edited copies: each kind of change on its own against an independent computation."""

import collections
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from edgesim.preprocess import load_pixels, resize_pixels
from edgesim.sample_photos import sample_photos
from edgesim.training import copy_geometry, copy_sensor
from edgesim.training.copy_augment import KINDS, CopyAugment, CopyAugmentConfig

SIZE, SOURCE = 96, 120


@pytest.fixture(scope="module")
def photos():
    """Four photographs, (4, 120, 120, 3) uint8."""
    names = {"astronaut.png", "chelsea.png", "coffee.png", "china.jpg"}
    return np.stack([load_pixels(p, SOURCE) for p in sample_photos("the tests") if p.name in names])


@pytest.fixture(scope="module")
def photo(photos):
    """The first of them at the output size."""
    return resize_pixels(photos[:1], SIZE)[0]


def only(kind, **changes):
    """Return the settings under which every view goes through this kind alone."""
    off = dict.fromkeys(KINDS, 0.0)
    return CopyAugmentConfig(**{**off, kind: 1.0, "depth_max": 1, "mild_share": 0.0, **changes})


def views(kind, image, other=None, count=40, **changes):
    augment = CopyAugment(only(kind, **changes), image.shape[0])
    black = np.zeros_like(image) if other is None else other
    return [augment.view(image, black, np.random.default_rng(seed)) for seed in range(count)]


def distance(a, b):
    return np.abs(a.astype(np.float64) - b).mean()


def averaged(image, width, height):
    """Return the image resized by area, every pixel weighed by how much of it lies under the new one."""

    def weights(before, after):
        edges = np.arange(after + 1) * before / after
        low, high = np.arange(before), np.arange(before) + 1
        shared = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
        return np.clip(shared, 0, None) * after / before

    rows, columns = weights(image.shape[0], height), weights(image.shape[1], width)
    return np.einsum("ai,ijc,bj->abc", rows, image.astype(float), columns, optimize=True)


def test_a_crop_is_a_part_of_the_picture_of_the_configured_area_and_aspect():
    # Red and green say where a pixel comes from.
    down, right = np.mgrid[0:128, 0:128]
    ramp = np.stack([right, down, 0 * down], axis=2).astype(np.uint8)
    areas, lefts = [], []
    for view in views("crop", ramp, count=400, crop_area_min=0.3):
        row, column = view[64, :, 0].astype(float), view[:, 64, 1].astype(float)
        steps = (
            np.polyfit(np.arange(16, 112), row[16:112], 1),
            np.polyfit(np.arange(16, 112), column[16:112], 1),
        )
        for fit, values in zip(steps, (row, column), strict=True):
            assert np.abs(np.polyval(fit, np.arange(16, 112)) - values[16:112]).max() < 1.1
        width, height = steps[0][0], steps[1][0]
        areas.append(width * height)
        lefts.append(row[0])
        assert 3 / 4 - 0.03 < width / height < 4 / 3 + 0.03
    assert 0.29 < min(areas) < 0.33
    assert 0.96 < max(areas) < 1.02
    assert np.mean(areas) == pytest.approx(0.65, abs=0.03)
    assert min(lefts) < 2
    assert max(lefts) > 40


def test_a_shrunk_crop_is_averaged_and_an_enlarged_one_is_not(photo):
    shrunk = copy_geometry.resize(photo, 77, 48)
    assert np.abs(shrunk - averaged(photo, 77, 48)).max() <= 0.51
    enlarged = copy_geometry.resize(photo, 2 * SIZE, 2 * SIZE)
    expected = Image.fromarray(photo).resize((2 * SIZE, 2 * SIZE), Image.Resampling.BILINEAR)
    assert np.abs(enlarged.astype(int) - np.asarray(expected)).max() <= 1


def test_mirrors_and_quarter_turns_equal_numpy(photo):
    np.testing.assert_array_equal(views("flip", photo, count=1)[0], photo[:, ::-1])
    np.testing.assert_array_equal(views("upside_down", photo, count=1)[0], photo[::-1])
    turned = {view.tobytes() for view in views("quarter_turn", photo)}
    assert turned == {np.rot90(photo, times).tobytes() for times in (1, 2, 3)}


def test_rotation_equals_numpy_and_scipy(photo):
    turned = copy_geometry.rotated(photo, 90.0, 1.0, (0, 0, 0))
    assert np.abs(turned.astype(int) - np.rot90(photo)).max() <= 1
    turned = copy_geometry.rotated(photo, 17.0, 1.0, (10, 20, 30))
    expected = ndimage.rotate(photo.astype(float), 17.0, reshape=False, order=1)
    assert distance(turned[20:76, 20:76], expected[20:76, 20:76]) < 1.0
    assert tuple(turned[0, 0]) == (10, 20, 30)


def test_rotations_are_small_or_of_any_angle():
    # A white bar from the centre to the right; where it lies afterwards is the angle.
    image = np.zeros((129, 129, 3), np.uint8)
    image[60:69, 64:100] = 255
    angles = []
    for seed in range(400):
        view = copy_geometry.rotation(image, image, np.random.default_rng(seed))
        disc = np.hypot(*(np.mgrid[0:129, 0:129] - 64)) < 40
        y, x = np.nonzero((view[:, :, 0] > 200) & disc & (ndimage.label(view[:, :, 0] > 200)[0] > 0))
        angles.append(np.degrees(np.arctan2(64 - y.mean(), x.mean() - 64)))
    # Fills that are white themselves blur a few of them.
    small = np.mean(np.abs(angles) < 31)
    assert small == pytest.approx(0.6 + 0.4 / 6, abs=0.1)
    assert max(angles) > 150
    assert min(angles) < -150


def test_perspective_moves_corners_and_keeps_straight_lines():
    image = np.full((128, 128, 3), 255, np.uint8)
    image[:, 62:66] = 0  # a line down the middle
    grey = np.full_like(image, 128)
    moved = 0
    for view in views("perspective", image, grey, count=20):
        dark = view[40:88, 32:96, 0].astype(float)
        weight = 255 - dark
        centres = (weight * np.arange(64)).sum(axis=1) / weight.sum(axis=1)
        fit = np.polyfit(np.arange(48), centres, 1)
        assert np.abs(np.polyval(fit, np.arange(48)) - centres).max() < 0.5
        moved += abs(fit[0]) > 0.01
    assert moved > 10


def test_a_pasted_picture_fills_a_fifth_to_six_tenths_of_the_other():
    white = np.full((128, 128, 3), 255, np.uint8)
    shares = [(view > 127).mean() for view in views("paste", white, count=300)]
    assert 0.17 < min(shares) < 0.24  # a turned one may reach over the edge
    assert 0.55 < max(shares) < 0.62
    assert np.mean(shares) == pytest.approx(0.4, abs=0.03)


def test_a_pasted_picture_is_whole_and_the_other_is_around_it(photos):
    image, other = resize_pixels(photos[:2], SIZE)
    upright = 0
    for view in views("paste", image, other, count=40):
        changed = (view != other).any(axis=2)
        rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        box = view[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        upright += distance(box, averaged(image, box.shape[1], box.shape[0])) < 1
    assert 22 < upright < 40  # three of four are not turned


def test_an_overlay_hides_a_part_and_leaves_the_rest(photo):
    for view in views("overlay", photo):
        changed = (view != photo).any(axis=2)
        rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert 0.05 < height * width / SIZE**2 < 0.37
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        # On black, what is left of the picture is one share of it everywhere: the opacity.
        share = view[box].sum() / photo[box].sum()
        assert 0.0 <= share <= 0.51
        assert np.abs(view[box] - share * photo[box]).max() <= 1.6


def test_blend_keeps_most_of_the_picture(photos):
    image, other = (photo.astype(float) for photo in resize_pixels(photos[:2], SIZE))
    shares = []
    for view in views("blend", image.astype(np.uint8), other.astype(np.uint8)):
        share = ((view - other) * (image - other)).sum() / ((image - other) ** 2).sum()
        assert np.abs(view - (share * image + (1 - share) * other)).max() < 1.1
        shares.append(share)
    assert 0.59 < min(shares) < 0.68
    assert 0.77 < max(shares) < 0.86


@pytest.mark.parametrize(("kind", "low", "high"), [("text", 0.005, 0.8), ("emoji", 0.001, 0.5)])
def test_what_is_drawn_hides_a_part(photo, kind, low, high):
    hidden = [(view != photo).any(axis=2).mean() for view in views(kind, photo, count=100)]
    assert min(hidden) > low
    assert max(hidden) < high
    assert 0.03 < np.median(hidden) < 0.25


@pytest.mark.parametrize("kind", ["border", "screenshot"])
def test_what_is_around_leaves_the_picture_whole(photo, kind):
    # Only the picture is of this green.
    green = np.full_like(photo, (0, 201, 0))
    for view in views(kind, green, count=60):
        inside = (view == (0, 201, 0)).all(axis=2)
        rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert len(rows) * len(columns) / SIZE**2 > 0.4
        assert len(rows) >= 0.49 * SIZE


def test_a_border_shrinks_the_picture_into_its_frame(photo):
    whole, blurred, inner = collections.Counter(), 0, insides(photo)
    for view in views("border", photo, count=60):
        fits = [
            (distance(view[down : SIZE - down, across : SIZE - across], expected), across, down)
            for (across, down), expected in inner.items()
        ]
        error, across, down = min(fits)
        assert error < 0.5
        whole["frame" if across == down else "beside" if across else "above"] += 1
        edge = view[0] if down else view[:, 0]
        blurred += len(np.unique(edge, axis=0)) > 1
    assert 18 < whole["frame"] < 42  # half of 60
    assert min(whole["beside"], whole["above"]) > 6
    assert 8 < blurred < 28  # three of ten


def insides(photo):
    """Return (margin beside, margin above) -> the picture shrunk between them, for all that may be."""
    pairs = [pair for margin in range(1, 25) for pair in ((margin, margin), (margin, 0), (0, margin))]
    return {(x, y): averaged(photo, SIZE - 2 * x, SIZE - 2 * y) for x, y in pairs}


def test_colour_equals_the_formulas(photo):
    image = photo.astype(float)
    luma = image @ [0.299, 0.587, 0.114]

    def cut(expected):
        return np.clip(expected, 0, 255)

    def close(expected, *amounts):
        return np.abs(copy_sensor.recoloured(photo, *amounts) - cut(expected)).max() < 1.0

    assert close(image, 1, 1, 1, 0)
    assert close(image * 1.4, 1.4, 1, 1, 0)
    assert close(luma.mean() + (image - luma.mean()) * 0.6, 1, 0.6, 1, 0)
    assert close(luma[:, :, None] + (image - luma[:, :, None]) * 1.3, 1, 1, 1.3, 0)
    # A turned hue leaves the luma, and all the way around leaves everything.
    assert close(image, 1, 1, 1, 1.0)
    pale = (96 + image / 4).astype(np.uint8)
    turned = copy_sensor.recoloured(pale, 1, 1, 1, 0.3).astype(float)
    assert np.abs(turned @ [0.299, 0.587, 0.114] - pale @ [0.299, 0.587, 0.114]).max() < 1.0
    assert distance(turned, pale) > 5


def test_grey_is_the_luma_that_pillow_computes(photo):
    view = views("grey", photo, count=1)[0]
    expected = np.asarray(Image.fromarray(photo).convert("L"), int)
    for channel in range(3):
        assert np.abs(view[:, :, channel] - expected).max() <= 1


def test_blur_equals_scipy_for_a_sigma_of_half_a_pixel_to_five(photo):
    sigmas = np.geomspace(0.5, 5, 47) * SIZE / 128
    blurred = [ndimage.gaussian_filter(photo.astype(float), (s, s, 0), mode="mirror") for s in sigmas]
    best = []
    for view in views("blur", photo):
        errors = [distance(view, expected) for expected in blurred]
        assert min(errors) < 0.9
        best.append(sigmas[np.argmin(errors)] * 128 / SIZE)
    assert min(best) < 0.7
    assert max(best) > 3.0


def test_pixels_leave_blocks_of_one_colour(photo):
    sides = []
    for view in views("pixels", photo):
        rows = 1 + (view[1:] != view[:-1]).any(axis=(1, 2)).sum()
        columns = 1 + (view[:, 1:] != view[:, :-1]).any(axis=(0, 2)).sum()
        assert rows == columns
        sides.append(rows)
        small = Image.fromarray(averaged(photo, columns, rows).round().astype(np.uint8))
        blocks = np.asarray(small.resize((SIZE, SIZE), Image.Resampling.NEAREST))
        assert np.abs(view.astype(int) - blocks).max() <= 1
    assert SIZE // 8 <= min(sides) < SIZE // 6
    assert SIZE // 3 < max(sides) <= SIZE // 2


def test_noise_is_gaussian_of_3_to_25_levels():
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    noisy = [view.astype(float) - 128 for view in views("noise", grey)]
    sigmas = [one.std() for one in noisy]
    assert 2.9 < min(sigmas) < 7
    assert 20 < max(sigmas) < 25.5
    for one, sigma in zip(noisy, sigmas, strict=True):
        assert abs(one.mean()) < 0.1 * sigma
        assert np.mean(np.abs(one) < sigma) == pytest.approx(0.683, abs=0.08)  # in whole levels


@pytest.mark.parametrize("quality", [5, 20, 60, 95])
def test_jpeg_equals_pillow(photo, quality):
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(stream), float)
    ours = copy_sensor.jpeg_round_trip(photo, quality)
    assert distance(ours, expected) < 1.0
    assert distance(ours, expected) < distance(photo, expected) / 3
