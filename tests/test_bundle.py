"""Bundles: what is written is read back, any changed byte is refused, and a failed write leaves nothing."""

import errno
import hashlib
import io
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgesim.bundle import GOLDEN, Bundle
from edgesim.bundle_writing import golden_bytes, write_bundle
from edgesim.errors import BundleError, StorageError
from edgesim.manifest import MANIFEST
from edgesim.model_spec import ModelSpec

SPEC = ModelSpec(name="tiny", input_size=16, embedding_dim=4)
ENCODER_ID = "0123456789abcdef"
PICTURES = [b"first picture", b"second"]
EMBEDDINGS = {
    "onnx": np.arange(8, dtype=np.float32).reshape(2, 4) / 7,
    "tflite": np.arange(8, dtype=np.float32).reshape(2, 4) / 9,
}
FILES = {
    "model.onnx": bytes(range(256)) * 3,
    "model.tflite": bytes(reversed(range(256))),
    GOLDEN: golden_bytes(PICTURES, EMBEDDINGS),
    "model_card.md": b"# Tiny\n",
}
CONTENT: dict[str, Any] = {
    "spec": SPEC,
    "encoder_id": ENCODER_ID,
    "models": {
        "onnx": {"file": "model.onnx", "quantisation": {"weights": "int8"}},
        "tflite": {"file": "model.tflite", "quantisation": {"weights": "int8"}},
    },
    "recipe": {"name": "static", "calibration": 200},
    "gates": [{"gate": "size", "model": "onnx", "value": 0.1, "limit": 1.0, "passed": True}],
    "made_by": {"edgesim": "0.1.0", "torch": "2.13.0"},
    "files": FILES,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", **CONTENT).folder


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.load(folder)
    return str(caught.value)


def seal(folder: Path, **changes: Any) -> None:
    """Change the manifest and make its own digest right again, as another edgesim would write it."""
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["sha256"]
    manifest |= changes
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def test_round_trip(folder: Path) -> None:
    bundle = Bundle.load(folder)
    assert bundle.folder == folder
    for name in ("spec", "encoder_id", "models", "recipe", "gates", "made_by"):
        assert getattr(bundle, name) == CONTENT[name]
    for name, content in FILES.items():
        assert (folder / name).read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, MANIFEST])
    assert bundle.title == "tiny (0123456789abcdef)"


@pytest.mark.parametrize("model_format", ["onnx", "tflite"])
def test_golden_images_and_their_embeddings(folder: Path, model_format: str) -> None:
    images, embeddings = Bundle.load(folder).golden(model_format)
    assert images == PICTURES
    assert embeddings.dtype == np.float32
    np.testing.assert_array_equal(embeddings, EMBEDDINGS[model_format])


def test_golden_images_keep_their_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    golden = golden_bytes([stream.getvalue()], {"onnx": np.zeros((1, 4), np.float32)})
    bundle = write_bundle(tmp_path / "bundle", **{**CONTENT, "files": {**FILES, GOLDEN: golden}})
    (image,), _ = bundle.golden("onnx")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image))), pixels)


def test_the_manifest_names_the_sha256_of_every_other_file(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["format_version"] == 1
    assert manifest["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


def test_model_path(tmp_path: Path, folder: Path) -> None:
    assert Bundle.load(folder).model_path("tflite") == folder / "model.tflite"
    one = write_bundle(tmp_path / "one", **{**CONTENT, "models": {"onnx": CONTENT["models"]["onnx"]}})
    with pytest.raises(BundleError) as caught:
        one.model_path("tflite")
    assert str(caught.value) == (
        f"{tmp_path / 'one'}: holds no tflite model, only onnx; export it with --format tflite"
    )


def test_a_moved_bundle_is_as_good_as_before(tmp_path: Path, folder: Path) -> None:
    moved = folder.rename(tmp_path / "elsewhere")
    assert Bundle.load(moved).model_path("onnx") == moved / "model.onnx"


# Damage.


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_flipped_bit_anywhere_is_refused_and_the_file_is_named(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for seed in range(150):
        chance = random.Random(seed)
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        message = refusal(folder)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
    path.write_bytes(whole)
    Bundle.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_the_message_of_a_changed_file(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(FILES[name] + b"\0")
    actual, expected = (hashlib.sha256(data).hexdigest()[:12] for data in (FILES[name] + b"\0", FILES[name]))
    assert refusal(folder) == (
        f"{path}: changed or damaged (SHA-256 {actual}, the manifest says {expected}); copy the bundle again"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"format_version": 1}',
        b"\xff\xfe\0",
        b'{"sha256": "0"}',
        b"[" * 10**5,
    ],
)
def test_the_message_of_a_damaged_manifest(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert refusal(folder) == f"{folder / MANIFEST}: changed or damaged; copy the bundle again"


def test_the_manifest_is_sealed_to_the_last_space(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text + " ")
    assert refusal(folder) == f"{folder / MANIFEST}: changed or damaged; copy the bundle again"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    expected = f"{folder / name}: missing or unreadable (No such file or directory); copy the bundle again"
    assert refusal(folder) == expected


@pytest.mark.parametrize("there", [True, False])
def test_no_bundle_there(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "photos"
    if there:
        path.mkdir()
    assert refusal(path) == (
        f"{path}: not a bundle, manifest.json cannot be read (No such file or directory); "
        "make one with: edgesim export"
    )


def test_another_format_version(folder: Path) -> None:
    seal(folder, format_version=2)
    assert refusal(folder) == (
        f"{folder / MANIFEST}: bundle format 2, this edgesim reads format 1; "
        "export it again or install the matching edgesim"
    )


def test_sealing_as_the_test_does_it_is_what_edgesim_checks(folder: Path) -> None:
    seal(folder, encoder_id="f" * 16)
    assert Bundle.load(folder).encoder_id == "f" * 16


# Hostile: whoever makes such a bundle seals its manifest as well.


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "a/b.onnx", "a\\b.onnx", "..", ".", "", ".hidden", "a\nb", "a\0b"]
)
def test_a_manifest_that_names_files_elsewhere(tmp_path: Path, folder: Path, name: str) -> None:
    (tmp_path / "outside").write_bytes(FILES["model.onnx"])
    files = json.loads((folder / MANIFEST).read_text())["files"]
    seal(folder, files={**files, name: files["model.onnx"]})
    assert refusal(folder) == (
        f"{folder / MANIFEST}: expected names of files in the bundle, got {name!r}; do not use it"
    )


@pytest.mark.parametrize("file", ["../model.onnx", "/etc/passwd", "other.onnx", None, 7, ["model.onnx"]])
def test_a_model_whose_file_is_none_of_those_that_are_checked(folder: Path, file: object) -> None:
    (folder / "other.onnx").write_bytes(b"")
    seal(folder, models={"onnx": {"file": file}})
    assert (
        refusal(folder) == f"{folder / MANIFEST}: names no file for its onnx model; export the bundle again"
    )


@pytest.mark.parametrize("key", ["spec", "encoder_id", "models", "recipe", "gates", "made_by", "files"])
@pytest.mark.parametrize("value", [None, 7])
def test_a_manifest_with_a_part_of_the_wrong_type(folder: Path, key: str, value: object) -> None:
    seal(folder, **{key: value})
    assert refusal(folder) == (
        f"{folder / MANIFEST}: {key!r} is missing or of the wrong type; export the bundle again"
    )


def test_a_pipe_in_the_place_of_a_file(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    assert refusal(folder) == f"{folder / 'model.onnx'}: not a file; copy the bundle again"


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\3\4" + bytes(60), FILES[GOLDEN][:50]])
def test_golden_embeddings_that_are_none(tmp_path: Path, content: bytes) -> None:
    bundle = write_bundle(tmp_path / "bundle", **{**CONTENT, "files": {**FILES, GOLDEN: content}})
    with pytest.raises(BundleError) as caught:
        bundle.golden("onnx")
    assert str(caught.value).startswith(f"{tmp_path / 'bundle' / GOLDEN}: holds no golden embeddings (")
    assert "\n" not in str(caught.value)


def test_golden_embeddings_of_another_format_only(tmp_path: Path) -> None:
    golden = golden_bytes(PICTURES, {"tflite": EMBEDDINGS["tflite"]})
    bundle = write_bundle(tmp_path / "bundle", **{**CONTENT, "files": {**FILES, GOLDEN: golden}})
    with pytest.raises(BundleError, match="holds no golden embeddings"):
        bundle.golden("onnx")


# Writing.


def test_an_existing_folder_is_not_overwritten(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BundleError) as caught:
        write_bundle(folder, **CONTENT)
    assert str(caught.value) == f"{folder}: already exists; choose another folder or pass --overwrite"


def test_overwrite_replaces_a_bundle_and_all_of_it(folder: Path) -> None:
    files = {name: FILES[name] for name in ("model.onnx", GOLDEN)}
    models = {"onnx": CONTENT["models"]["onnx"]}
    write_bundle(folder, **{**CONTENT, "encoder_id": "new", "models": models, "files": files}, overwrite=True)
    assert Bundle.load(folder).encoder_id == "new"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, MANIFEST])
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_overwrite_spares_a_folder_that_holds_no_bundle(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(BundleError) as caught:
        write_bundle(photos, **CONTENT, overwrite=True)
    assert str(caught.value) == f"{photos}: already exists; choose another folder or pass --overwrite"
    assert (photos / "holiday.jpg").read_bytes() == b"precious"


def test_missing_parents_are_made(tmp_path: Path) -> None:
    assert write_bundle(tmp_path / "a" / "b" / "bundle", **CONTENT).encoder_id == ENCODER_ID


def fail(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Pathlib renames by os.rename.
@pytest.mark.parametrize("call", [(os, "fsync"), (os, "rename"), (tempfile, "mkdtemp")], ids=lambda c: c[1])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[Any, str]
) -> None:
    monkeypatch.setattr(*call, fail)
    path = tmp_path / "bundle"
    with pytest.raises(StorageError) as caught:
        write_bundle(path, **CONTENT)
    assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("call", "which"), [("fsync", 1), ("rename", 1), ("rename", 2)])
def test_a_full_disk_leaves_the_old_bundle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, which: int
) -> None:
    really, calls = getattr(os, call), iter(range(1, 100))
    with monkeypatch.context() as patched:
        patched.setattr(os, call, lambda *args: fail() if next(calls) == which else really(*args))
        with pytest.raises(StorageError):
            write_bundle(folder, **{**CONTENT, "encoder_id": "new"}, overwrite=True)
    assert Bundle.load(folder).encoder_id == ENCODER_ID
    assert list(folder.parent.iterdir()) == [folder]


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "bundle"
    with pytest.raises(StorageError) as caught:
        write_bundle(path, **CONTENT)
    assert str(caught.value) in {
        f"{path}: cannot be written (File exists)",
        f"{path}: cannot be written (Not a directory)",
    }
