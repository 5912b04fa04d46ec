"""Augmented views: each operation against an independent computation, and reproducible as a whole."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from edgesim.preprocess import load_pixels
from edgesim.sample_photos import sample_photos
from edgesim.training.augment import Augment
from edgesim.training.config import AugmentConfig
from edgesim.training.jpeg import jpeg_round_trip, quantisation_tables

OFF = AugmentConfig(
    crop_area_min=1.0,
    rotation_share=0.0,
    flip_share=0.0,
    paste_share=0.0,
    overlay_share=0.0,
    colour=0.0,
    grey_share=0.0,
    blur_share=0.0,
    jpeg_share=0.0,
    noise_share=0.0,
)


@pytest.fixture(scope="module")
def photos():
    """Four photographs, (4, 3, 64, 64) uint8."""
    paths = [
        p
        for p in sample_photos("the tests")
        if p.name in {"astronaut.png", "chelsea.png", "coffee.png", "china.jpg"}
    ]
    return torch.from_numpy(np.stack([load_pixels(path, 64) for path in paths])).permute(0, 3, 1, 2)


def augment(photos, size=64, seed=0, **changes):
    config = dataclasses.replace(OFF, **changes)
    return Augment(config, size, torch.Generator().manual_seed(seed))(photos)


def test_everything_off_returns_the_image(photos):
    torch.testing.assert_close(augment(photos), photos / 255.0, rtol=0, atol=1e-5)


def test_flip(photos):
    torch.testing.assert_close(augment(photos, flip_share=1.0), photos.flip(3) / 255.0, rtol=0, atol=1e-5)


def test_the_same_seed_draws_the_same_views_and_another_seed_others(photos):
    def views(seed):
        return Augment(AugmentConfig(), 48, torch.Generator().manual_seed(seed))(photos)

    assert torch.equal(views(3), views(3))
    assert not torch.equal(views(3), views(4))
    assert views(3).shape == (4, 3, 48, 48)
    assert views(3).min() >= 0.0
    assert views(3).max() <= 1.0


def test_a_crop_is_a_part_of_the_picture():
    # On a horizontal ramp a crop is again a ramp, flatter by the share of the width that it keeps.
    ramp = torch.arange(64).float().repeat(256, 3, 64, 1).mul(4).byte()
    views = augment(ramp, crop_area_min=0.25)
    slope = (views[:, 0, 32, 48] - views[:, 0, 32, 16]) / (32 * 4 / 255)
    assert 0.40 < slope.min() < 0.55  # sqrt(0.25 * 3 / 4) = 0.43
    assert 0.9 < slope.max() <= 1.01


def test_rotation_equals_scipy_inside_the_picture(photos):
    config = dataclasses.replace(OFF, rotation_share=1.0, rotation_degrees=20.0)
    generator = torch.Generator().manual_seed(5)
    views = Augment(config, 64, generator)(photos)
    # The angle is not returned: find the one that fits best, and ask that it fits well.
    image = photos[0].permute(1, 2, 0).numpy() / 255.0
    centre = views[0].permute(1, 2, 0).numpy()[20:44, 20:44]
    errors = {
        angle: np.abs(ndimage.rotate(image, angle, reshape=False, order=1)[20:44, 20:44] - centre).mean()
        for angle in np.arange(-20, 20.25, 0.25)
    }
    best = min(errors, key=errors.get)
    assert errors[best] < 0.005
    assert abs(best) > 1.0
    assert errors[best] < errors[0.0] / 5


def test_a_pasted_picture_fills_a_quarter_to_six_tenths_of_another():
    white = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8).repeat(64, 1, 1, 1)
    black = torch.zeros_like(white)
    views = augment(torch.cat([white, black]), paste_share=1.0)[:64]
    # Half of the backgrounds are black; there, the white share is the pasted picture's.
    shares = [v.mean().item() for v in views if v.mean() < 0.95]
    assert len(shares) > 16
    assert min(shares) > 0.23
    assert max(shares) < 0.63


def moves(view, image, reach):
    """Return the translations (down, right, mirrored) that make of an image what the view shows of it."""
    side, found = image.shape[-1], []
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            moved = np.full_like(image, np.nan)
            moved[:, max(0, -down) : side - max(0, down), max(0, -right) : side - max(0, right)] = image[
                :, max(0, down) : side + min(0, down), max(0, right) : side + min(0, right)
            ]
            for mirrored in (False, True):
                expected = moved[:, :, ::-1] if mirrored else moved
                inside = ~np.isnan(expected)
                if np.abs(view[inside] - expected[inside]).max() < 1e-5:
                    found.append((down, right, mirrored))
    return found


def test_small_upright_images_move_by_whole_pixels(photos):
    small = photos[:, :, 16:32, 16:32].repeat(32, 1, 1, 1)
    views = augment(small, 16, shift_pixels=2, flip_share=0.5).numpy()
    found = [moves(view, image / 255, 2) for view, image in zip(views, small.numpy(), strict=True)]
    assert all(len(one) == 1 for one in found)
    # All 50 moves are equally likely: 128 draws find 46 of them on average.
    assert len({one[0] for one in found}) > 38
    for view, ((down, right, mirrored),) in zip(views, found, strict=True):
        if down == 0 and right == 0:
            continue
        row = 0 if down < 0 else -1  # an edge that came in from outside, in one grey
        column = 0 if (right < 0) != mirrored else -1
        edge = view[:, row, :] if down else view[:, :, column]
        assert np.unique(edge).size == 1


def test_views_that_are_not_rotated_move_by_whole_pixels_among_those_that_are(photos):
    small = photos[:, :, 16:32, 16:32].repeat(32, 1, 1, 1)
    views = augment(small, 16, shift_pixels=2, rotation_share=0.5).numpy()
    found = [moves(view, image / 255, 2) for view, image in zip(views, small.numpy(), strict=True)]
    assert 45 < sum(len(one) for one in found) < 83  # half of 128, within 3.3 standard deviations
    assert len({one[0] for one in found if one}) > 18  # of 25


def test_cutout_lays_one_grey_square_anywhere():
    black = torch.zeros(512, 3, 16, 16, dtype=torch.uint8)
    views = augment(black, 16, cutout_pixels=5)
    assert torch.equal(views.unique(), torch.tensor([0.0, 0.5]))
    centres = set()
    for view in views:
        rows, columns = (np.flatnonzero((view[0] > 0).any(dim=axis).numpy()) for axis in (1, 0))
        assert (view > 0).sum() == 3 * len(rows) * len(columns)  # a filled box
        # The centre is a pixel of the view; where the square reaches over an edge, its other end tells where.
        top = rows[-1] - 4 if rows[0] == 0 else rows[0]
        left = columns[-1] - 4 if columns[0] == 0 else columns[0]
        assert len(rows) == min(top + 5, 16) - max(top, 0)
        assert len(columns) == min(left + 5, 16) - max(left, 0)
        centres.add((int(top + 2), int(left + 2)))
    assert {row for row, _ in centres} == {column for _, column in centres} == set(range(16))


def test_grey_is_the_luma_that_pillow_computes(photos):
    views = augment(photos, grey_share=1.0)
    for view, photo in zip(views, photos, strict=True):
        grey = np.asarray(Image.fromarray(photo.permute(1, 2, 0).numpy()).convert("L"), np.float32) / 255
        for channel in view:
            np.testing.assert_allclose(channel.numpy(), grey, atol=1.01 / 255)


def test_blur_equals_scipy(photos):
    augmenter = Augment(OFF, 64, torch.Generator().manual_seed(0))
    augmenter._uniform = lambda count, low, high, device: torch.full((count,), 1.5)
    blurred = augmenter._blur(photos / 255.0)
    expected = ndimage.gaussian_filter(
        (photos / 255.0).numpy(), sigma=(0, 0, 1.5, 1.5), mode="mirror", truncate=5 / 1.5
    )
    np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-4)


def test_pixelise_leaves_blocks_of_one_colour(photos):
    view = Augment(OFF, 64, torch.Generator().manual_seed(0))._pixelise(photos / 255.0)
    colours = np.unique(view[0].reshape(3, -1).numpy().T, axis=0)
    assert (64 // 6) ** 2 // 2 < len(colours) <= (64 // 3) ** 2


def test_overlay_hides_a_part_and_leaves_the_rest(photos):
    images = photos.repeat(16, 1, 1, 1) / 255.0
    views = Augment(OFF, 64, torch.Generator().manual_seed(0))._overlay(images.clone())
    changed = (views != images).any(dim=1).float().mean(dim=(1, 2))
    assert 0.03 < changed.mean() < 0.4
    assert changed.max() < 0.6


@pytest.mark.parametrize("quality", [10, 30, 60, 95])
def test_jpeg_is_close_to_what_pillow_makes_of_it(photos, quality):
    ours = jpeg_round_trip(photos / 255.0, torch.full((4,), float(quality)))
    for view, photo in zip(ours, photos, strict=True):
        stream = io.BytesIO()
        image = Image.fromarray(photo.permute(1, 2, 0).numpy())
        image.save(stream, "JPEG", quality=quality, subsampling=0)
        expected = np.asarray(Image.open(stream), np.float32)
        difference = np.abs(view.permute(1, 2, 0).numpy() * 255 - expected).mean()
        damage = np.abs(np.asarray(image, np.float32) - expected).mean()
        assert difference < 0.85  # levels of 255
        assert difference < damage / 2.5


def test_jpeg_tables_equal_those_that_pillow_writes():
    for quality in (10, 25, 50, 75, 95):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8)).save(stream, "JPEG", quality=quality)
        written = Image.open(stream).quantization
        ours = quantisation_tables(torch.tensor([float(quality)]))[0]
        assert ours[0].flatten().tolist() == list(written[0])
        assert ours[1].flatten().tolist() == list(written[1])
