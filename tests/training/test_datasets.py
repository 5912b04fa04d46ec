"""Image sets: folders, the published formats of MNIST and CIFAR-10 written by hand, and wrong inputs."""

import gzip
import itertools
import re
import struct

import numpy as np
import pytest
from PIL import Image

from edgesim.errors import InputError
from edgesim.training.datasets import (
    ImageSet,
    has_class_folders,
    load_canonical,
    load_folder,
    read_list,
    split_by_class,
    split_holdout,
)


def save(path, colour, size=(20, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_class_folders(tmp_path):
    save(tmp_path / "good" / "1.png", (255, 0, 0))
    save(tmp_path / "bad" / "deep" / "2.png", (0, 255, 0))
    save(tmp_path / "bad" / "3.png", (0, 0, 255))
    save(tmp_path / "stray.png", (9, 9, 9))
    images = load_folder(tmp_path, 8, by_class=True)
    assert images.classes == ("bad", "good")
    assert images.pixels.shape == (3, 8, 8, 3)
    colours = {
        tuple(p[0, 0]): images.classes[label] for p, label in zip(images.pixels, images.labels, strict=True)
    }
    assert colours == {(255, 0, 0): "good", (0, 255, 0): "bad", (0, 0, 255): "bad"}
    assert has_class_folders(tmp_path)
    assert not has_class_folders(tmp_path / "good")


def test_every_image_is_its_own_class_and_those_excluded_are_left_out(tmp_path, capsys):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        save(tmp_path / name, (1, 2, 3))
    (tmp_path / "b" / "broken.jpg").write_bytes(b"not an image")
    images = load_folder(tmp_path, 8, by_class=False, exclude=frozenset({"a/2.png"}))
    assert images.classes == ("a/1.png", "b/1.png")
    assert images.labels.tolist() == [0, 1]
    assert "edgesim: left out: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("by_class", "message"),
    [
        (True, "1 class folders with images found, 2 needed at least"),
        (False, "1 images found, 2 needed at least"),
    ],
)
def test_too_few(tmp_path, by_class, message):
    save(tmp_path / "only" / "1.png", (1, 2, 3))
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}: {message}")):
        load_folder(tmp_path, 8, by_class=by_class)


def test_no_such_folder(tmp_path):
    with pytest.raises(InputError) as error:
        load_folder(tmp_path / "minst", 8, by_class=True)
    assert (
        str(error.value) == f"{tmp_path}/minst: no such folder, and not one of mnist, fashion_mnist, cifar10"
    )


def write_idx(folder, stem, images, labels):
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">IIII", 0x803, *images.shape)
    (raw / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    header = struct.pack(">II", 0x801, len(labels))
    (raw / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + bytes(labels)))


def test_mnist(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    write_idx(tmp_path / "MNIST", "train", images, [7, 0, 9])
    loaded = load_canonical("mnist", tmp_path, 28, train=True)
    assert loaded.labels.tolist() == [7, 0, 9]
    assert loaded.classes == tuple("0123456789")
    for channel in range(3):
        np.testing.assert_array_equal(loaded.pixels[..., channel], images)
    assert load_canonical("mnist", tmp_path, 32, train=True).pixels.shape == (3, 32, 32, 3)


def test_cifar10(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    record = bytes([4]) + bytes([10] * 1024) + bytes([20] * 1024) + bytes(range(256)) * 4
    (folder / "test_batch.bin").write_bytes(record * 2)
    loaded = load_canonical("cifar10", tmp_path, 32, train=False)
    assert loaded.labels.tolist() == [4, 4]
    assert loaded.classes[4] == "deer"
    # Planes R, G, B of 32 rows; blue counts 0..255 four times over, row by row.
    assert loaded.pixels[1, 3, 5].tolist() == [10, 20, 3 * 32 + 5]


def test_missing_and_malformed_files(tmp_path):
    with pytest.raises(InputError) as error:
        load_canonical("fashion_mnist", tmp_path, 28, train=True)
    path = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz"
    assert str(error.value) == f"{path}: cannot be read; --data-root must hold FashionMNIST"
    write_idx(tmp_path / "MNIST", "train", np.zeros((1, 28, 28), np.uint8), [0])
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    images.write_bytes(gzip.compress(b"\0" * 800))
    with pytest.raises(InputError) as error:
        load_canonical("mnist", tmp_path, 28, train=True)
    assert str(error.value) == (
        f"{tmp_path}/MNIST: not in the published format (magic number 0x0, expected 0x803)"
    )


def test_holdout_is_disjoint_complete_and_seeded(tmp_path):
    for i in range(10):
        save(tmp_path / f"{i}.png", (i, i, i))
    images = load_folder(tmp_path, 8, by_class=False)
    kept, held = split_holdout(images, 0.3, seed=1)
    assert (len(kept), len(held)) == (7, 3)
    assert sorted([*kept.labels, *held.labels]) == list(range(10))
    assert split_holdout(images, 0.3, seed=1)[1].labels.tolist() == held.labels.tolist()
    assert split_holdout(images, 0.3, seed=2)[1].labels.tolist() != held.labels.tolist()


def classes_of(*sizes):
    """Images whose first pixel is their row number, in classes of these sizes."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    pixels = np.zeros((len(labels), 1, 1, 3), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = np.arange(len(labels)) % 256, np.arange(len(labels)) // 256
    return ImageSet(pixels, labels, tuple("abcdefgh"[: len(sizes)]))


def rows_of(images):
    return (images.pixels[:, 0, 0, 0] + 256 * images.pixels[:, 0, 0, 1].astype(int)).tolist()


def test_every_class_is_split_by_the_same_shares():
    images = classes_of(5, 6, 10, 40, 300)
    split = split_by_class(images, 0.2, 0.15, seed=0)

    def counts(part):
        return np.bincount(part.labels, minlength=5).tolist()

    # A fifth, of the rest 15 %, but two at least; a class of five is too small.
    assert counts(split.test) == [0, 2, 2, 8, 60]
    assert counts(split.validation) == [0, 2, 2, 5, 36]
    assert counts(split.training) == [5, 2, 6, 27, 204]
    assert split.unmeasured == ("a",)
    parts = [rows_of(part) for part in (split.training, split.validation, split.test)]
    assert sorted(itertools.chain(*parts)) == list(range(361))
    for part, rows in zip((split.training, split.validation, split.test), parts, strict=True):
        assert part.classes == images.classes
        assert images.labels[rows].tolist() == part.labels.tolist()


def test_large_shares_leave_two_images_to_train_on():
    split = split_by_class(classes_of(6, 20), 0.9, 0.9, seed=0)
    assert [np.bincount(part.labels).tolist() for part in (split.test, split.validation, split.training)] == [
        [2, 16],
        [2, 2],
        [2, 2],
    ]


def test_the_seed_decides_the_split():
    def tested(seed):
        return rows_of(split_by_class(classes_of(40, 40), 0.2, 0.15, seed).test)

    assert tested(1) == tested(1) != tested(2)


def test_too_small_classes_to_measure():
    with pytest.raises(InputError) as error:
        split_by_class(classes_of(30, 5, 5), 0.2, 0.15, seed=0)
    assert str(error.value) == (
        "2 classes of 6 images or more are needed to measure on images that training has not seen, 1 found; "
        "add images, or train without --from"
    )


def test_read_list(tmp_path):
    (tmp_path / "list.txt").write_text("a/1.png\nb.png\n\n")
    assert read_list(tmp_path / "list.txt") == {"a/1.png", "b.png"}
    with pytest.raises(InputError, match="cannot be read as a list of names"):
        read_list(tmp_path / "none.txt")
