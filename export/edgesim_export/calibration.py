"""The images that an export looks at: some to calibrate the int8 ranges, others to measure the result on.

All pixels come through edgesim.preprocess, as on the device. Every choice is a function of the list of images
and `SEED`, so that the same images give the same model files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesim.edits import EDITS, edited_copy
from edgesim.errors import ImageError, InputError
from edgesim.files import find_images
from edgesim.preprocess import Pixels, decode_image, resize_image
from edgesim.sample_photos import sample_photos
from edgesim.training.datasets import CANONICAL, load_canonical, read_list
from edgesim_export.recipe import MIN_CALIBRATION_IMAGES
from edgesim_export.run_records import run_config

SEED = 0
# Queries are edited with seeds from here on, so that none repeats a calibration image.
_QUERY_SEED = 1_000_000
# Pictures are kept for editing at this many times the input size: a crop still has detail, and 400 pictures
# fit into memory.
_KEPT_SCALE = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSource:
    """Images that may be used, none decoded yet.

    Attributes:
        name: what messages and the bundle call them.
        images: files, or pictures from a data set.
    """

    name: str
    images: Sequence[Path | Image.Image]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationData:
    """Arrays for calibration and for the gates; S is the encoder's input size.

    Attributes:
        source: name of the `ImageSource`.
        calibration_pictures: number of pictures that `calibration` was made from.
        disjoint: no held-out picture was used for calibration.
        calibration: (C, S, S, 3) uint8; pictures, then edited copies where there are few pictures.
        references: (R, S, S, 3) uint8, the held-out pictures.
        queries: (Q, S, S, 3) uint8, edited copies of the held-out pictures.
        truth: (Q,), the row of `references` that each query was made from.
    """

    source: str
    calibration_pictures: int
    disjoint: bool
    calibration: Pixels
    references: Pixels
    queries: Pixels
    truth: NDArray[np.intp]

    def summary(self) -> dict[str, Any]:
        """Return what the bundle records about the images."""
        return {
            "source": self.source,
            "calibration_images": len(self.calibration),
            "calibration_pictures": self.calibration_pictures,
            "calibration_sha256": hashlib.sha256(self.calibration.tobytes()).hexdigest(),
            "heldout_pictures": len(self.references),
            "heldout_queries": len(self.queries),
            "disjoint": self.disjoint,
        }


def find_source(folder: Path | None, run: Path, size: int) -> ImageSource:
    """Choose the images: the folder, else what the run was trained on, else the sample photographs.

    Args:
        folder: what the user passed as `--calibration`.
        run: folder of the checkpoint; its `config.toml`, if there is one, names the training data.
        size: S, at which the pictures of a data set are made.

    Raises:
        InputError: no such folder, or no images in it.
        MissingDependencyError: the sample photographs are not installed.
    """
    if folder is not None:
        return ImageSource(name=folder.resolve().name, images=find_images([folder]))
    config = run_config(run)
    data = str(config.get("data", ""))
    root = Path(str(config.get("data_root", "")))
    if data in CANONICAL and (root / CANONICAL[data]).is_dir():
        pixels = load_canonical(data, root, size, train=True).pixels
        return ImageSource(name=data, images=[Image.fromarray(image) for image in pixels])
    if data and Path(data).is_dir():
        return ImageSource(name=Path(data).resolve().name, images=_training_images(config))
    photos = sample_photos("calibration without --calibration FOLDER")
    return ImageSource(name="sample photographs", images=photos)


def _training_images(config: dict[str, Any]) -> list[Path]:
    """Return the images of a run's folder but those that the run was told to leave out."""
    folder, exclude = Path(str(config["data"])), str(config.get("exclude", ""))
    left_out = read_list(Path(exclude)) if exclude else frozenset()
    return [path for path in find_images([folder]) if path.relative_to(folder).as_posix() not in left_out]


def prepare(source: ImageSource, size: int, count: int) -> CalibrationData:
    """Sample pictures from a source and make the arrays from them.

    Half of the pictures calibrate, `count` at most, and as many others are held out. With fewer than
    2 * `MIN_CALIBRATION_IMAGES` pictures all of them do both, in differently edited copies.

    Args:
        source: where the pictures come from.
        size: S.
        count: number of calibration images wanted, and of held-out pictures at most.

    Raises:
        InputError: fewer than `MIN_CALIBRATION_IMAGES` images can be decoded.
    """
    order = np.random.default_rng(SEED).permutation(len(source.images))
    shuffled = (source.images[i] for i in order)
    pictures = list(itertools.islice(_decodable(shuffled, size), 2 * count))
    if len(pictures) < MIN_CALIBRATION_IMAGES:
        raise InputError(
            f"{source.name}: {len(pictures)} usable images of {len(source.images)}, calibration needs "
            f"{MIN_CALIBRATION_IMAGES} at least; pass a folder with more: --calibration FOLDER"
        )
    disjoint = len(pictures) >= 2 * MIN_CALIBRATION_IMAGES
    half = math.ceil(len(pictures) / 2)
    calibrating, held_out = (pictures[:half], pictures[half:]) if disjoint else (pictures, pictures)
    queries, truth = _queries([picture for _, picture in held_out], size, count)
    return CalibrationData(
        source=source.name,
        calibration_pictures=len(calibrating),
        disjoint=disjoint,
        calibration=_calibration_arrays(calibrating, size, count),
        references=np.stack([pixels for pixels, _ in held_out]),
        queries=queries,
        truth=truth,
    )


def _decodable(images: Iterable[Path | Image.Image], size: int) -> Iterable[tuple[Pixels, Image.Image]]:
    """Yield the network's pixels and the picture, reduced, of each image that can be decoded."""
    for image in images:
        try:
            picture = decode_image(image, min_side=2 * size) if isinstance(image, Path) else image
        except ImageError:
            continue
        pixels = resize_image(picture, size)
        picture.thumbnail((_KEPT_SCALE * size, _KEPT_SCALE * size))
        yield pixels, picture


def _calibration_arrays(pictures: list[tuple[Pixels, Image.Image]], size: int, count: int) -> Pixels:
    arrays = [pixels for pixels, _ in pictures[:count]]
    names = list(EDITS)
    for i in range(count - len(arrays)):
        turn, row = divmod(i, len(pictures))
        background = pictures[(row + 1) % len(pictures)][1]
        copy = edited_copy(pictures[row][1], names[(row + turn) % len(names)], SEED + i, background)
        arrays.append(resize_image(copy, size))
    return np.stack(arrays)


def _queries(pictures: list[Image.Image], size: int, count: int) -> tuple[Pixels, NDArray[np.intp]]:
    """Return copies of each picture by every edit; or several, where that gives fewer than `count`."""
    rounds = math.ceil(count / (len(pictures) * len(EDITS)))
    plan = list(itertools.product(range(rounds), range(len(pictures)), EDITS))
    copies = [
        edited_copy(pictures[row], edit, _QUERY_SEED + i, pictures[(row + 1) % len(pictures)])
        for i, (_, row, edit) in enumerate(plan)
    ]
    return np.stack([resize_image(copy, size) for copy in copies]), np.array([row for _, row, _ in plan])
