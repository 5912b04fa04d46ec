"""Finding images on disk, and writing files so that a crash leaves the old or the new one, never half."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from edgesim.errors import InputError, StorageError

# Which files of a folder are tried. The content decides later whether they are images.
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")

# What a system says whose folders cannot be synchronised, or opened; a failing or full disk says another.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES)


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the files named, and the images below the folders named, sorted within each folder.

    Hidden files and folders are passed over. Raises `InputError` for a path that does not exist and for a
    folder without images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            images = sorted(images_below(path))
            if not images:
                raise InputError(f"{path}: no images in this folder (looked for {', '.join(SUFFIXES)})")
            found += images
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    return list(dict.fromkeys(found))


def images_below(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder, by their names; hidden files and folders are passed over."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(root) / name


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, durable when this returns. Raises `StorageError`."""
    with replacing(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give the block a stream, and replace `path` by what it writes if it succeeds; durable then.

    Raises `StorageError`, also for an `OSError` of the block.
    """
    import tempfile  # only writers pay for it

    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            try:
                # Temporary files are private; what replaces them is as readable as any other file.
                os.fchmod(stream.fileno(), 0o644)
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable, where the file system can. Raises `StorageError`."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise StorageError(f"{folder}: cannot be written ({error.strerror or error})") from error
