"""Images in memory: a folder of photographs, class folders, or MNIST, FashionMNIST and CIFAR-10.

Whatever the source, pixels come through edgesim.preprocess, as they will on the device.
"""

from __future__ import annotations

import dataclasses
import gzip
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgesim.capacity import usable_cores
from edgesim.errors import ImageError, InputError
from edgesim.files import find_images
from edgesim.preprocess import Pixels, load_pixels, resize_pixels

CANONICAL = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "cifar-10-batches-bin"}
# Such a class has two images each for training, validation and test; one alone has no other to be like.
MEASURED_CLASS = 6
# In the order of the labels, as their authors name them.
_CLASSES = {
    "mnist": ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
}


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images of one size with their labels.

    Attributes:
        pixels: (N, S, S, 3) uint8 RGB.
        labels: (N,) int64; 0 .. classes - 1.
        classes: the class names, or one name an image where there are no classes.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, rows: NDArray[np.intp]) -> ImageSet:
        """Return the images at `rows`, with the same class names."""
        return ImageSet(self.pixels[rows], self.labels[rows], self.classes)


def load_folder(
    folder: Path, size: int, *, by_class: bool, exclude: frozenset[str] = frozenset()
) -> ImageSet:
    """Decode every image below a folder; those that cannot be decoded are named on stderr and left out.

    Args:
        folder: with `by_class`, each of its folders is a class; otherwise each image is a class of its own.
        size: S, the side in pixels at which images are held.
        by_class: see `folder`.
        exclude: paths relative to the folder, with forward slashes, that are left out.

    Raises:
        InputError: no such folder, no images, or fewer than two classes with `by_class`.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, and not one of {', '.join(CANONICAL)}")
    paths = [p for p in find_images([folder]) if p.relative_to(folder).as_posix() not in exclude]
    if by_class:
        paths = [p for p in paths if len(p.relative_to(folder).parts) > 1]
    names: list[str] = []
    pixels: list[Pixels] = []
    # Pillow decodes outside the interpreter's lock.
    with ThreadPoolExecutor(usable_cores()) as pool:
        decoded = pool.map(lambda path: _decode(path, size), paths)
        for path, image in zip(paths, tqdm(decoded, "decoding", len(paths), disable=None), strict=True):
            if image is not None:
                relative = path.relative_to(folder)
                pixels.append(image)
                names.append(relative.parts[0] if by_class else relative.as_posix())
    classes, labels = np.unique(names, return_inverse=True) if names else (np.array([]), np.array([]))
    if len(classes) < 2:
        what = "class folders with images" if by_class else "images"
        raise InputError(f"{folder}: {len(classes)} {what} found, 2 needed at least")
    return ImageSet(np.stack(pixels), labels.astype(np.int64), tuple(map(str, classes)))


def _decode(path: Path, size: int) -> Pixels | None:
    try:
        return load_pixels(path, size)
    except ImageError as error:
        tqdm.write(f"edgesim: left out: {error}", file=sys.stderr)
        return None


def load_canonical(name: str, root: Path, size: int, *, train: bool) -> ImageSet:
    """Read MNIST, FashionMNIST or CIFAR-10 from the files that their authors publish.

    Args:
        name: a key of `CANONICAL`.
        root: holds `MNIST/raw/*.gz`, `FashionMNIST/raw/*.gz` or `cifar-10-batches-bin/*.bin`.
        size: S; other sizes are resized as the device would.
        train: the training part, or else the test part.

    Raises:
        InputError: a file is missing or not what its format says.
    """
    folder = root / CANONICAL[name]
    try:
        images, labels = _read_cifar(folder, train) if name == "cifar10" else _read_idx(folder, train)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be read; --data-root must hold {CANONICAL[name]}"
        ) from error
    except ValueError as error:
        raise InputError(f"{folder}: not in the published format ({error})") from error
    return ImageSet(resize_pixels(images, size), labels.astype(np.int64), _CLASSES[name])


def _read_idx(folder: Path, train: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read a pair of IDX files: big-endian magic number and sizes, then bytes."""
    stem = "train" if train else "t10k"
    images = gzip.decompress((folder / "raw" / f"{stem}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "raw" / f"{stem}-labels-idx1-ubyte.gz").read_bytes())
    magic, count, height, width = np.frombuffer(images, ">u4", 4)
    if magic != 0x803:
        raise ValueError(f"magic number {magic:#x}, expected 0x803")
    grey = np.frombuffer(images, np.uint8, offset=16).reshape(count, height, width)
    return np.repeat(grey[..., None], 3, axis=3), np.frombuffer(labels, np.uint8, offset=8)


def _read_cifar(folder: Path, train: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read CIFAR-10's binary version: a label byte, then 3 planes of 32x32, for each image."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if train else ["test_batch.bin"]
    records = np.concatenate([np.fromfile(folder / name, np.uint8).reshape(-1, 3073) for name in names])
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0]


def split_holdout(images: ImageSet, share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split into a part to train on and a part held out, at random, the same for the same seed."""
    order = np.random.default_rng(seed).permutation(len(images))
    held = round(len(images) * share)
    return images.subset(np.sort(order[held:])), images.subset(np.sort(order[:held]))


@dataclasses.dataclass(frozen=True)
class Split:
    """Three parts of class folders, each with the names of all classes.

    Attributes:
        training: what the encoder is trained on; it has every class.
        validation: what decides when training ends.
        test: what the encoder is measured on in the end, and nothing else.
        unmeasured: names of the classes that only `training` has, being smaller than `MEASURED_CLASS`.
    """

    training: ImageSet
    validation: ImageSet
    test: ImageSet
    unmeasured: tuple[str, ...]


def split_by_class(images: ImageSet, test: float, validation: float, seed: int) -> Split:
    """Split every class by the same shares, at random, the same for the same seed.

    Of a class of `MEASURED_CLASS` images or more each part gets two at least; a smaller one is all training.

    Args:
        images: what to split, with classes.
        test: share of each class for the test part.
        validation: share of the rest for the validation part.
        seed: the source of chance.

    Raises:
        InputError: fewer than two classes are large enough.
    """
    rng = np.random.default_rng(seed)
    parts: tuple[list[NDArray[np.intp]], ...] = ([], [], [])
    unmeasured = []
    for label, name in enumerate(images.classes):
        rows = rng.permutation(np.flatnonzero(images.labels == label))
        sizes = _part_sizes(len(rows), test, validation)
        if not sizes[0]:
            unmeasured.append(name)
        for part, chosen in zip(parts, np.split(rows, np.cumsum(sizes)), strict=True):
            part.append(chosen)
    if len(images.classes) - len(unmeasured) < 2:
        raise InputError(
            f"2 classes of {MEASURED_CLASS} images or more are needed to measure on images that training has "
            f"not seen, {len(images.classes) - len(unmeasured)} found; add images, or train without --from"
        )
    tested, validated, trained = (images.subset(np.sort(np.concatenate(part))) for part in parts)
    return Split(trained, validated, tested, tuple(unmeasured))


def _part_sizes(count: int, test: float, validation: float) -> tuple[int, int]:
    """Return how many of a class's images are for the test and how many for the validation."""
    if count < MEASURED_CLASS:
        return 0, 0
    tested = min(max(2, round(count * test)), count - 4)
    return tested, min(max(2, round((count - tested) * validation)), count - tested - 2)


def has_class_folders(folder: Path) -> bool:
    """Tell whether a folder holds at least two folders, which are then its classes."""
    return folder.is_dir() and sum(1 for p in folder.iterdir() if p.is_dir() and p.name[0] != ".") > 1


def read_list(path: Path) -> frozenset[str]:
    """Read a text file of one name per line. Raises `InputError`."""
    try:
        return frozenset(path.read_text(encoding="utf-8").split("\n")) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of names ({error})") from error
