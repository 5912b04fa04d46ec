"""The pictures of the check: edited copies of the sample photographs, as small JPEG files."""

from __future__ import annotations

import itertools
from pathlib import Path

from PIL import Image

from edgesim.edits import EDITS, edited_copy
from edgesim.preprocess import decode_image
from edgesim.sample_photos import sample_photos

# Longer side in pixels, and JPEG quality: a thumbnail's, for a thousand are decoded in emulation. Our choice.
_SIDE = 320
_QUALITY = 90
# Those with chance in them, so that no two copies are the same.
_EDITS = [name for name in EDITS if name != "jpeg"]
# A camera's picture, for what one query costs: our choice, as in bench_cli.py.
_CAMERA = (1280, 960)


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Write `count` JPEG files, no two of the same photograph, edit and seed; returns their paths."""
    photos = [_small(path) for path in sample_photos("the check on ARM")]
    folder.mkdir(parents=True)
    kinds = itertools.cycle(itertools.product(_EDITS, range(len(photos))))
    paths = []
    for number, (edit, photo) in enumerate(itertools.islice(kinds, count)):
        background = photos[(photo + 1) % len(photos)]
        paths.append(folder / f"{number:04}.jpg")
        edited_copy(photos[photo], edit, number, background).save(paths[-1], quality=_QUALITY)
    return paths


def write_camera_picture(path: Path) -> Path:
    """Write one JPEG file of a small camera's size; returns its path."""
    photo = decode_image(sample_photos("the check on ARM")[0])
    photo.resize(_CAMERA, Image.Resampling.BICUBIC).save(path, quality=_QUALITY)
    return path


def _small(path: Path) -> Image.Image:
    image = decode_image(path)
    image.thumbnail((_SIDE, _SIDE))
    return image
