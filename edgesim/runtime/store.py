"""The entries of an index in one SQLite file: the source of truth for vectors, paths and labels.

    meta      format_version, encoder_id, encoder_name, embedding_dim, spec (JSON), bundle, generation;
              key_model_id and key_model_name where the vectors come from a key model
    entries   one row an image: absolute path, SHA-256, size and mtime of the file, float32 vector
    labels    keys and values, of an entry

An id names one path with one content and is never given again: a changed file gets a new one. `generation`
counts the commits that changed the set of vectors; whoever holds a copy of them compares it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import IndexStoreError, InputError, StorageError
from edgesim.runtime.database import (
    ENTRIES_FILE,
    check_length,
    closed_on_failure,
    connect_to_read,
    connect_to_write,
    damaged,
    reported,
    transaction,
)
from edgesim.runtime.entry import Entry, NewEntry
from edgesim.runtime.facts import IndexFacts

_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # Paths are bytes, as not every file name is valid UTF-8.
    "CREATE TABLE entries (id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL UNIQUE, "
    "sha256 TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, vector BLOB NOT NULL)",
    "CREATE TABLE labels (entry_id INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE, "
    "key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (entry_id, key)) WITHOUT ROWID",
)


class EntryStore:
    """The open entries of the index in `folder`; for use in one thread.

    Every method raises `IndexStoreError` when the file is damaged or another program holds it, and
    `StorageError` when the disk is full, read-only or failing.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, facts: IndexFacts) -> None:
        self.folder, self.facts = folder, facts
        self._connection = connection

    @classmethod
    def create(cls, folder: Path, facts: IndexFacts) -> EntryStore:
        """Make an index without entries; raises `IndexStoreError` if one is there."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise IndexStoreError(f"{folder}: is a file, and an index is a folder; name another") from error
        except OSError as error:
            raise StorageError(f"{folder}: cannot be written ({error.strerror})") from error
        with reported(folder), closed_on_failure(connect_to_write(folder, create=True)) as connection:
            with transaction(connection, "IMMEDIATE"):
                # What a killed `create` left is an empty file, and may be filled now.
                if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                    raise IndexStoreError(f"{folder}: holds an index already")
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.to_rows().items())
            return cls(folder, connection, facts)

    @classmethod
    def open(cls, folder: Path, *, read_only: bool) -> EntryStore:
        """Open an index; read-only, nothing is written to its folder."""
        if not exists(folder):
            raise IndexStoreError(f"{folder}: no index there; make one with: edgesim index add {folder} PATH")
        connect = connect_to_read if read_only else connect_to_write
        with reported(folder), closed_on_failure(connect(folder)) as connection:
            with transaction(connection, "DEFERRED"):
                check_length(folder, connection)
                rows = dict(connection.execute("SELECT key, value FROM meta").fetchall())
            return cls(folder, connection, IndexFacts.from_rows(folder, rows))

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self._connection.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see the same state, whatever others commit meanwhile."""
        with reported(self.folder), transaction(self._connection, "DEFERRED"):
            yield

    def generation(self) -> int:
        """Return how many commits have changed the set of vectors."""
        with reported(self.folder):
            return int(self._value("SELECT value FROM meta WHERE key = 'generation'"))

    def count(self) -> int:
        """Return the number of entries."""
        with reported(self.folder):
            return self._value("SELECT count(*) FROM entries")

    def _value(self, query: str) -> int:
        value: int = self._connection.execute(query).fetchone()[0]
        return value

    def ids(self) -> list[int]:
        """Return the ids of all entries, rising."""
        with reported(self.folder):
            return [row[0] for row in self._connection.execute("SELECT id FROM entries ORDER BY id")]

    def vectors(self, after: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return ids (N,), rising, and vectors (N, D) of the entries whose id is above `after`."""
        with reported(self.folder):
            rows = self._connection.execute(
                "SELECT id, vector FROM entries WHERE id > ? ORDER BY id", (after,)
            ).fetchall()
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        try:
            joined = b"".join(row[1] for row in rows)
            vectors = np.frombuffer(joined, dtype="<f4").reshape(len(rows), self.facts.spec.embedding_dim)
        except (TypeError, ValueError) as error:
            raise damaged(self.folder, f"vectors: {error}") from error
        if not _normalised(vectors):
            raise damaged(self.folder, "a vector is not of length 1")
        return ids, vectors

    def entries(self) -> list[Entry]:
        """Return all entries, by rising id."""
        return self._entries("")

    def entry(self, entry_id: int) -> Entry:
        """Return the entry with an id that is in the index."""
        found = self._entries("WHERE id = ?", entry_id)
        if not found:
            raise damaged(self.folder, f"entry {entry_id} is missing")
        return found[0]

    def find(self, path: str) -> Entry | None:
        """Return the entry of an absolute path, or None."""
        found = self._entries("WHERE path = ?", os.fsencode(path))
        return found[0] if found else None

    def _entries(self, where: str, *values: object) -> list[Entry]:
        with reported(self.folder):
            rows = self._connection.execute(
                f"SELECT id, path, sha256, size, mtime_ns FROM entries {where} ORDER BY id", values
            ).fetchall()
            return [
                Entry(
                    entry_id=entry_id,
                    path=os.fsdecode(path),
                    sha256=sha256,
                    size=size,
                    mtime_ns=mtime_ns,
                    labels=self._labels(entry_id),
                )
                for entry_id, path, sha256, size, mtime_ns in rows
            ]

    def _labels(self, entry_id: int) -> dict[str, str]:
        query = "SELECT key, value FROM labels WHERE entry_id = ? ORDER BY key"
        return dict(self._connection.execute(query, (entry_id,)).fetchall())

    def label_counts(self) -> dict[str, tuple[int, int]]:
        """Return key -> how many entries have that label, and how many different values it has."""
        query = "SELECT key, count(*), count(DISTINCT value) FROM labels GROUP BY key ORDER BY key"
        with reported(self.folder):
            return {key: (entries, values) for key, entries, values in self._connection.execute(query)}

    def write(self, entries: Sequence[NewEntry]) -> None:
        """Add entries and replace those of the same path, in one commit."""
        with self._writing():
            for entry in entries:
                self._write_entry(entry)
            if any(entry.vector is not None for entry in entries):
                self._raise_generation()

    def _write_entry(self, entry: NewEntry) -> None:
        old = self.find(entry.path)
        if entry.vector is not None:
            if old is not None:
                self._connection.execute("DELETE FROM entries WHERE id = ?", (old.entry_id,))
            entry_id = self._connection.execute(
                "INSERT INTO entries (path, sha256, size, mtime_ns, vector) VALUES (?, ?, ?, ?, ?)",
                (os.fsencode(entry.path), entry.sha256, entry.size, entry.mtime_ns, self._blob(entry.vector)),
            ).lastrowid
        elif old is not None:
            entry_id = old.entry_id
            self._connection.execute(
                "UPDATE entries SET size = ?, mtime_ns = ? WHERE id = ?",
                (entry.size, entry.mtime_ns, entry_id),
            )
        else:  # another program has removed it meanwhile
            return
        labels = {**(old.labels if old else {}), **entry.labels}
        self._connection.executemany(
            "INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", [(entry_id, k, v) for k, v in labels.items()]
        )

    def _blob(self, vector: NDArray[np.float32]) -> bytes:
        dim = self.facts.spec.embedding_dim
        if vector.shape != (dim,) or not _normalised(vector[None]):
            raise ValueError(f"vector must be L2-normalised and have shape ({dim},), got {vector.shape}")
        return vector.astype("<f4").tobytes()

    def remove(self, paths: Sequence[str]) -> int:
        """Remove entries by absolute path, of a file or of a folder around them; return how many.

        Raises `InputError`, and removes nothing, if a path names no entry.
        """
        with self._writing():
            ids = {entry_id for path in paths for entry_id in self._ids_at(path)}
            self._connection.executemany("DELETE FROM entries WHERE id = ?", [(i,) for i in ids])
            self._raise_generation()
        return len(ids)

    def _ids_at(self, path: str) -> list[int]:
        below = os.fsencode(path.rstrip(os.sep) + os.sep)
        behind = below[:-1] + bytes([below[-1] + 1])
        rows = self._connection.execute(
            "SELECT id FROM entries WHERE path = ? OR (path >= ? AND path < ?)",
            (os.fsencode(path), below, behind),
        ).fetchall()
        if not rows:
            raise InputError(
                f"{path}: not in the index {self.folder}; nothing was removed. "
                f"See: edgesim index list {self.folder}"
            )
        return [row[0] for row in rows]

    def _raise_generation(self) -> None:
        self._connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with reported(self.folder), transaction(self._connection, "IMMEDIATE"):
                yield
        except StorageError as error:
            raise StorageError(f"{error} ({self.count()} entries are committed)") from error


def exists(folder: Path) -> bool:
    """Return whether there is an index in `folder`, damaged or not.

    An empty file is none: it is what a killed `create` leaves.
    """
    path = folder / ENTRIES_FILE
    return path.is_file() and path.stat().st_size > 0


def _normalised(vectors: NDArray[np.float32]) -> bool:
    """Return whether all rows of (N, D) have length 1, or 0, which is how zeros are normalised.

    A damaged exponent makes numbers that drown all others, or that are none; those are caught here.
    """
    squares = np.einsum("nd,nd->n", vectors, vectors)
    return bool(np.all((np.abs(squares - 1) < 0.01) | (squares == 0)))
