"""What an update does to the folders of a store (edgesim.runtime.bundle_store) around the switch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, StorageError
from edgesim.files import sync_folder
from edgesim.manifest import MANIFEST
from edgesim.runtime.bundle_store import STATE, VERSIONS, StoreState
from edgesim.signing import SIGNATURE

LOCK = "lock"
# A folder may be the root of a file system of its own.
_KNOWN = {STATE, VERSIONS, LOCK, "lost+found"}
_CHUNK = 1 << 20


def prepare_store(store: Path) -> None:
    """Make the folders of a store unless they are there.

    Raises:
        BundleError: the folder holds something else, or is a file.
        StorageError: it cannot be written.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
        strangers = sorted({path.name for path in store.iterdir()} - _KNOWN)
        strangers = [name for name in strangers if not name.startswith(f".{STATE}.")]
        if strangers:
            raise BundleError(f"{store}: no store, it holds {strangers[0]}; name a new or an empty folder")
        (store / VERSIONS).mkdir(exist_ok=True)
    except FileExistsError as error:
        raise BundleError(f"{store}: no store, it is a file; name a new or an empty folder") from error
    except OSError as error:
        raise _unwritable(store, error) from error
    # The names inside become durable with the switch.
    sync_folder(store.absolute().parent)


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    """Let one update at a time change a store. Raises `BundleError` if another runs, and `StorageError`."""
    with contextlib.ExitStack() as stack:
        try:
            # The file stays for ever: all must mean the same one.
            descriptor = os.open(store / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BundleError(f"{store}: another update is running; try again when it has ended") from error
        except OSError as error:
            raise _unwritable(store, error) from error
        yield


def copy_bundle(source: Bundle, target: Path) -> None:
    """Copy a bundle's files, and no others, into a new folder; durable when this returns.

    Raises:
        BundleError: a file cannot be read, or is no ordinary file.
        StorageError: the disk is full, read-only or failing.
    """
    names = [MANIFEST, *source.files]
    if os.path.lexists(source.folder / SIGNATURE):
        names.append(SIGNATURE)
    try:
        target.mkdir()
        target.chmod(0o755)
        for name in names:
            with _open_ordinary(source.folder / name) as stream:
                _write(target / name, _chunks(stream, source.folder / name))
    except OSError as error:
        raise _unwritable(target, error) from error
    sync_folder(target)
    sync_folder(target.parent)


def _open_ordinary(path: Path) -> BinaryIO:
    try:
        # On a stranger's stick a link could lead to what only root may read, and a pipe keep us waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        stream = os.fdopen(descriptor, "rb", buffering=0)
        ordinary = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); copy the bundle again") from error
    if not ordinary:
        stream.close()
        raise BundleError(f"{path}: not an ordinary file; copy the bundle again")
    return stream


def _chunks(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); copy the bundle again") from error


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("xb") as stream:
        # As readable for the service's user as the bundle that an export writes.
        os.fchmod(stream.fileno(), 0o644)
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def remove_leftovers(store: Path, state: StoreState | None) -> None:
    """Remove what is neither current nor previous, as far as that is possible."""
    versions = () if state is None else (state.current, state.previous)
    kept = {str(version.number) for version in versions if version is not None}
    with contextlib.suppress(OSError):
        for path in (store / VERSIONS).iterdir():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
        for path in store.glob(f".{STATE}.*"):
            path.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: cannot be written ({error.strerror or error})")
