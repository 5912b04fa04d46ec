"""Edited copies as a whole: how many kinds of changes, which, how often, and the same from the same seed."""

import collections
import dataclasses

import numpy as np
import pytest
from PIL import Image

from edgesim.preprocess import load_pixels, resize_pixels
from edgesim.sample_photos import sample_photos
from edgesim.settings import build
from edgesim.training import copy_sensor
from edgesim.training.copy_augment import KINDS, CopyAugment, CopyAugmentConfig

SIZE, SOURCE = 96, 120


@pytest.fixture(scope="module")
def photos():
    """Four photographs, (4, 120, 120, 3) uint8."""
    names = {"astronaut.png", "chelsea.png", "coffee.png", "china.jpg"}
    return np.stack([load_pixels(p, SOURCE) for p in sample_photos("the tests") if p.name in names])


def only(kind, **changes):
    """Return the settings under which every view goes through this kind alone."""
    off = dict.fromkeys(KINDS, 0.0)
    return CopyAugmentConfig(**{**off, kind: 1.0, "depth_max": 1, "mild_share": 0.0, **changes})


def test_images_are_resized_as_on_the_device(photos):
    expected = [
        np.asarray(Image.fromarray(p).resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for p in photos
    ]
    np.testing.assert_array_equal(resize_pixels(photos, SIZE), expected)


def test_a_view_is_made_of_as_many_kinds_as_asked_for_in_their_order():
    stages = [KINDS.index(last) for last in ("perspective", "screenshot", "grey", "noise", "jpeg")]
    for depth in (1, 3, 7):
        augment = CopyAugment(CopyAugmentConfig(depth_min=depth, depth_max=depth, mild_share=0.0), SIZE)
        for seed in range(50):
            kinds = augment.kinds(np.random.default_rng(seed))
            assert len(kinds) == len(set(kinds)) == depth
            of = [np.searchsorted(stages, KINDS.index(kind)) for kind in kinds]
            assert of == sorted(of)


def test_every_kind_is_applied_once(photos, monkeypatch):
    augment = CopyAugment(CopyAugmentConfig(depth_min=4, depth_max=4, mild_share=0.0), SIZE)
    done = []
    for kind, change in list(augment._changes.items()):
        monkeypatch.setitem(
            augment._changes, kind, lambda *given, k=kind, c=change: (done.append(k), c(*given))[1]
        )
    for seed in range(20):
        done.clear()
        augment.view(photos[0], photos[1], np.random.default_rng(seed))
        assert done == augment.kinds(np.random.default_rng(seed))


def test_kinds_are_drawn_by_weight_and_depths_uniformly():
    config = CopyAugmentConfig(depth_max=1, mild_share=0.0)
    augment, rng = CopyAugment(config, SIZE), np.random.default_rng(0)
    drawn = collections.Counter(augment.kinds(rng)[0] for _ in range(4000))
    total = sum(config.weights().values())
    for kind, weight in config.weights().items():
        share = weight / total
        assert abs(drawn[kind] / 4000 - share) < 4 * np.sqrt(share / 4000), kind
    augment = CopyAugment(CopyAugmentConfig(mild_share=0.25), SIZE)
    depths = collections.Counter(len(augment.kinds(rng)) for _ in range(4000))
    assert depths.pop(0) / 4000 == pytest.approx(0.25, abs=0.03)
    assert sorted(depths) == [1, 2, 3, 4, 5]
    assert all(abs(count / 4000 - 0.15) < 0.025 for count in depths.values())
    augment = CopyAugment(dataclasses.replace(config, crop=0.0), SIZE)
    assert all(augment.kinds(rng) != ["crop"] for _ in range(500))


def test_a_mild_view_is_close_to_the_picture_or_its_mirror_image(photos):
    down, right = np.mgrid[0:128, 0:128]
    ramp = np.stack([right, down, right], axis=2).astype(np.uint8)
    augment = CopyAugment(CopyAugmentConfig(mild_share=1.0), 128)
    mirrored = 0
    for seed in range(100):
        view = augment.view(ramp, ramp, np.random.default_rng(seed)).astype(float)
        across, along = np.corrcoef(view[:, :, 0].ravel(), right.ravel())[0, 1], view[:, :, 1]
        assert np.corrcoef(along.ravel(), down.ravel())[0, 1] > 0.9
        assert abs(across) > 0.9
        mirrored += across < 0
    assert 30 < mirrored < 70


@pytest.mark.parametrize("area", [0.6, 0.9])
def test_a_mild_view_keeps_so_much_of_the_picture(monkeypatch, area):
    monkeypatch.setattr(copy_sensor, "colour", lambda image, *given, **named: image)
    down, right = np.mgrid[0:128, 0:128]
    ramp = np.stack([right, down, right], axis=2).astype(np.uint8)
    augment = CopyAugment(CopyAugmentConfig(mild_share=1.0, mild_crop_area_min=area), 128)
    views = np.stack([augment.view(ramp, ramp, np.random.default_rng(seed)) for seed in range(200)])
    widths, heights = (np.ptp(views[..., channel].reshape(200, -1), axis=1) / 127 for channel in (0, 1))
    assert (widths * heights).min() == pytest.approx(area, abs=0.02)


def test_the_same_seeds_make_the_same_views_by_any_number_of_threads(photos):
    images = np.concatenate([photos] * 4)
    augment = CopyAugment(CopyAugmentConfig(), SIZE)
    first = augment.batch(images, 3)
    assert first.shape == (16, SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(augment.batch(images, 3, threads=3), first)
    assert (augment.batch(images, 4) != first).any(axis=(1, 2, 3)).all()
    assert (first != resize_pixels(images, SIZE)).any(axis=(1, 2, 3)).all()
    seeds = list(range(100, 116))
    by_row = augment.batch(images, seeds, threads=2)
    np.testing.assert_array_equal(augment.batch(images, seeds), by_row)
    # What seed a row has is all that counts, and the batch for what is laid over or beneath.
    np.testing.assert_array_equal(augment.batch(images, [*seeds[:8], *range(8)])[:8], by_row[:8])


def test_views_leave_the_images_as_they_were(photos):
    before = photos.copy()
    for kind in KINDS:
        for seed in range(5):
            view = CopyAugment(only(kind), SIZE).batch(photos, seed)
            assert view.shape == (4, SIZE, SIZE, 3)
            same_size = CopyAugment(only(kind), SOURCE).batch(photos, seed)
            assert same_size.shape == photos.shape
    np.testing.assert_array_equal(photos, before)


def test_a_single_image_serves_as_its_own_other(photos):
    assert CopyAugment(only("paste"), SIZE).batch(photos[:1], 0).shape == (1, SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": -1.0}, "weight of crop must be 0 or more, got -1.0"),
        (
            {"depth_min": 3, "depth_max": 2},
            "depths must be 1 <= depth_min <= depth_max <= 19, the number of kinds in use, got 3 and 2",
        ),
        (
            {"depth_max": 19, "jpeg": 0.0},
            "depths must be 1 <= depth_min <= depth_max <= 18, the number of kinds in use, got 1 and 19",
        ),
        ({"mild_share": 1.5}, "mild_share must be between 0 and 1, got 1.5"),
        ({"crop_area_min": 0.0}, "crop_area_min must be above 0 and at most 1, got 0.0"),
        ({"mild_crop_area_min": 1.1}, "mild_crop_area_min must be above 0 and at most 1, got 1.1"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match="must be") as caught:
        CopyAugmentConfig(**changes)
    assert str(caught.value) == message


def test_as_many_seeds_as_images_are_needed(photos):
    with pytest.raises(ValueError, match=r"^expected 4 seeds, one for each image, got 3$"):
        CopyAugment(CopyAugmentConfig(), SIZE).batch(photos, [1, 2, 3])


def test_the_settings_can_be_read_from_toml():
    config = build(CopyAugmentConfig, {"depth_max": 3, "crop": 2.5}, "copies.toml")
    assert config == CopyAugmentConfig(depth_max=3, crop=2.5)
