"""Whether an SQLite file has been committed to, told without the lock that SQLite takes for it.

Every commit that is journalled by rollback changes the file change counter, bytes 24 to 27 of the file,
before it counts (SQLite, "Database File Format", section 1.3.7). Who has read it under a lock that keeps
writers out, and finds it unchanged, has missed no commit.

One trap is to be kept out of: a process that closes any descriptor of a file loses all its locks on that
file, those of SQLite too (POSIX, fcntl). So a file has one descriptor, closed when its last connection is.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import threading
from pathlib import Path

_COUNTER_PLACE, _COUNTER_BYTES = 24, 4


@dataclasses.dataclass
class _File:
    """A file that this process has open: by how many connections, and the descriptor, once there is one."""

    path: Path
    connections: int = 0
    descriptor: int | None = None


_guard = threading.Lock()
_files: dict[tuple[int, int], _File] = {}


class CountingConnection(sqlite3.Connection):
    """A connection that can tell its file's change counter, once `count_changes_of` has been called."""

    _key: tuple[int, int] | None = None
    _descriptor: int | None = None

    def count_changes_of(self, path: Path) -> None:
        """Name the file that the connection has open; all connections to one file have to."""
        try:
            status = path.stat()
        except OSError:
            return  # it is gone; SQLite will say so
        self._key = (status.st_dev, status.st_ino)
        with _guard:
            _files.setdefault(self._key, _File(path)).connections += 1

    def change_counter(self) -> bytes | None:
        """Return the file change counter as it is now; None where it cannot be read so."""
        if self._descriptor is None:
            self._descriptor = self._open()
        if self._descriptor is None:
            return None
        try:
            return os.pread(self._descriptor, _COUNTER_BYTES, _COUNTER_PLACE)
        except OSError:
            return None  # SQLite will say what is the matter

    def _open(self) -> int | None:
        if self._key is None or not hasattr(os, "pread"):  # Windows has none
            return None
        with _guard:
            file = _files[self._key]
            if file.descriptor is None:
                file.descriptor = _open_file(file.path, self._key)
            return file.descriptor

    def close(self) -> None:
        """Close the connection, and the descriptor after the last one."""
        super().close()
        key, self._key, self._descriptor = self._key, None, None
        if key is None:
            return
        with _guard:
            file = _files[key]
            file.connections -= 1
            if file.connections == 0:
                del _files[key]
                if file.descriptor is not None:
                    os.close(file.descriptor)


def _open_file(path: Path, key: tuple[int, int]) -> int | None:
    """Return a descriptor of the file; None if it cannot be opened or another one has taken its place."""
    try:
        status = path.stat()
        if (status.st_dev, status.st_ino) != key:
            return None
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
