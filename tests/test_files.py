"""Finding images, and writing files that are whole or absent."""

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from edgesim.errors import InputError, StorageError
from edgesim.files import find_images, sha256_file, write_atomic


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def found(paths: list[Path], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in find_images(paths)]


def test_images_below_a_folder_sorted_by_path(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a/z.jpeg", "a/b/c.webp", "c.tiff", "notes.txt", "a/archive.zip", "jpg")
    assert found([tmp_path], tmp_path) == ["a/b/c.webp", "a/z.jpeg", "b.PNG", "c.tiff"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", ".b.jpg", ".thumbnails/c.jpg", "d/.e/f.jpg")
    assert found([tmp_path], tmp_path) == ["a.jpg"]


def test_a_named_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "scan.dat", ".hidden.jpg")
    named = [tmp_path / "scan.dat", tmp_path / ".hidden.jpg"]
    assert find_images(named) == named


def test_the_order_of_the_request_is_kept_and_nothing_comes_twice(tmp_path: Path) -> None:
    touch(tmp_path, "z.jpg", "folder/b.jpg", "folder/a.jpg")
    request = [tmp_path / "z.jpg", tmp_path / "folder", tmp_path / "folder" / "b.jpg", tmp_path / "z.jpg"]
    assert found(request, tmp_path) == ["z.jpg", "folder/a.jpg", "folder/b.jpg"]


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_images([tmp_path / "none"])
    assert str(caught.value) == f"{tmp_path / 'none'}: no such file or folder"


def test_a_folder_without_images(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(InputError) as caught:
        find_images([tmp_path])
    assert str(caught.value) == (
        f"{tmp_path}: no images in this folder (looked for "
        ".jpg, .jpeg, .jpe, .jfif, .mpo, .png, .webp, .bmp, .tif, .tiff, .gif)"
    )


def test_sha256(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for content in (b"first", b"second"):
        write_atomic(path, content)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_can_be_read_by_other_users(tmp_path: Path) -> None:
    write_atomic(tmp_path / "state", b"")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError) as caught:
        write_atomic(path, b"new")
    assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def fail_to_sync_folders(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    sync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_when_the_folder_is_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_to_sync_folders(monkeypatch, number)
    with pytest.raises(StorageError) as caught:
        write_atomic(tmp_path / "state", b"new")
    assert str(caught.value) == f"{tmp_path}: cannot be written ({os.strerror(number)})"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES])
def test_a_file_system_that_cannot_synchronise_folders_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_to_sync_folders(monkeypatch, number)
    write_atomic(tmp_path / "state", b"new")
    assert (tmp_path / "state").read_bytes() == b"new"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none" / "state"
    with pytest.raises(StorageError) as caught:
        write_atomic(path, b"")
    assert str(caught.value) == f"{path}: cannot be written (No such file or directory)"


def test_an_interruption_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old"]
