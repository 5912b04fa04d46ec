"""The entries of an index in one SQLite file: the source of truth for vectors, paths and labels.

An id names one path with one content and is never given again: a changed file gets a new one. `generation`
counts the commits that changed the set of vectors; whoever holds a copy of them compares it. The tables are
described in `edgesim.runtime.schema`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.errors import IndexStoreError, InputError, StorageError
from edgesim.files import sync_folder
from edgesim.runtime.database import (
    closed_on_failure,
    connect_to_read,
    connect_to_write,
    not_writable,
    reported,
    transaction,
)
from edgesim.runtime.digests import digest, vector_bytes
from edgesim.runtime.entry import Entry, NewEntry
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.filtering import FilteredReader
from edgesim.runtime.migration import migrate
from edgesim.runtime.reader import normalised
from edgesim.runtime.rows import Row, delete_entry, insert_entry, update_entry
from edgesim.runtime.schema import FORMAT_VERSION, create_tables
from edgesim.runtime.tally import Tally, write_tally

if TYPE_CHECKING:
    from edgesim.runtime.selection import LabelChange, Selection


class EntryStore(FilteredReader):
    """The open entries of the index in `folder`; for use in one thread.

    Every method raises `IndexStoreError` when the file is damaged or another program holds it, and
    `StorageError` when the disk is full, read-only or failing.
    """

    @classmethod
    def create(cls, folder: Path, facts: IndexFacts) -> EntryStore:
        """Make an index without entries; raises `IndexStoreError` if one is there."""
        made = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
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
                create_tables(connection, facts.to_rows())
            for path in (folder, *(path.parent for path in made)):
                sync_folder(path)
            return cls(folder, connection)

    @classmethod
    def open(cls, folder: Path, *, read_only: bool) -> EntryStore:
        """Open an index; read-only, nothing is written to its folder, else one of format 1 is migrated."""
        connect = connect_to_read if read_only else connect_to_write
        with reported(folder), closed_on_failure(connect(folder)) as connection:
            store = cls(folder, connection)
            if store.format_version == 1 and not read_only:
                store._migrate()
            return store

    def _migrate(self) -> None:
        self.vectors()  # are of the right size and length, or it ends here
        with transaction(self._connection, "IMMEDIATE"):
            if self.tally() is None:  # another program may have been faster
                migrate(self.folder, self._connection)
        self.format_version = FORMAT_VERSION

    def write(self, entries: Sequence[NewEntry]) -> None:
        """Add entries and replace those of the same path, in one commit."""
        blobs = self._blobs(entries)
        with self._writing() as tally:
            self.compare_paths()
            for entry, blob in zip(entries, blobs, strict=True):
                self._write_entry(tally, entry, blob)
            if any(entry.vector is not None for entry in entries):
                tally.generation += 1

    def _write_entry(self, tally: Tally, new: NewEntry, vector: bytes | None) -> None:
        old = self._row_at(new.path)
        labels = {**(old.entry.labels if old else {}), **new.labels}
        if vector is not None:
            if old is not None:
                delete_entry(self._connection, tally, old)
            entry = Entry(
                entry_id=tally.next_id,
                path=new.path,
                sha256=new.sha256,
                size=new.size,
                mtime_ns=new.mtime_ns,
                labels=labels,
            )
            insert_entry(self._connection, tally, entry, vector)
        elif old is not None:  # and not removed by another program meanwhile
            entry = dataclasses.replace(old.entry, size=new.size, mtime_ns=new.mtime_ns, labels=labels)
            update_entry(self._connection, tally, entry, old)

    def _blobs(self, entries: Sequence[NewEntry]) -> list[bytes | None]:
        """Return the vectors as they are stored."""
        dim = self.facts.spec.embedding_dim
        vectors = [entry.vector for entry in entries if entry.vector is not None]
        shapes = {vector.shape for vector in vectors}
        if vectors and (shapes != {(dim,)} or not normalised(np.stack(vectors))):
            got = min(shapes, key=lambda shape: shape == (dim,))
            raise ValueError(f"vector must be L2-normalised and have shape ({dim},), got {got}")
        return [None if entry.vector is None else vector_bytes(entry.vector) for entry in entries]

    def remove(self, selection: Selection) -> int:
        """Remove entries; return how many.

        Raises `InputError`, and removes nothing, if a path or id names no entry.
        """
        with self._writing() as tally:
            rows = self._select(selection)
            for row in rows:
                delete_entry(self._connection, tally, row)
            tally.generation += bool(rows)
        return len(rows)

    def label(self, changes: Iterable[LabelChange]) -> int:
        """Change labels, all in one commit; return how many entries have others now.

        Raises `InputError`, and changes nothing, if a path or id names no entry.
        """
        changes, changed = list(changes), set()
        with self._writing() as tally:
            if any(change.selection.where is not None for change in changes):
                self.compare_facts()  # before the first change, which the stored tally does not know of
            for change in changes:
                for row in self._select(change.selection):
                    kept = {k: v for k, v in row.entry.labels.items() if k not in change.removed}
                    entry = dataclasses.replace(row.entry, labels={**kept, **change.labels})
                    if entry != row.entry:
                        update_entry(self._connection, tally, entry, row)
                        changed.add(entry.entry_id)
        return len(changed)

    def _select(self, selection: Selection) -> list[Row]:
        where = selection.where
        selected = None if where is None else self.ids_where(where)
        named: list[tuple[str, str | int]] = [("path", path) for path in selection.paths]
        named += [("id", entry_id) for entry_id in selection.ids]
        if not named:
            named = [("id", entry_id) for entry_id in selected or []]
        rows = {row.entry.entry_id: row for kind, name in named for row in self._rows_of(kind, name)}
        kept = rows.keys() if selected is None else rows.keys() & set(selected)
        return [rows[entry_id] for entry_id in sorted(kept)]

    def _rows_of(self, kind: str, name: Any) -> list[Row]:
        try:
            rows = self._rows_at(name) if kind == "path" else self.rows("WHERE id = ?", name)
        except OverflowError:  # no id is as large
            rows = []
        if not rows:
            raise InputError(
                f"{name if kind == 'path' else f'id {name}'}: not in the index {self.folder}; nothing was "
                f"changed. See: edgesim index list {self.folder}"
            )
        return [self._checked(row) for row in rows]

    def _rows_at(self, path: str) -> list[Row]:
        self.compare_paths()
        below = os.fsencode(path.rstrip(os.sep) + os.sep)
        behind = below[:-1] + bytes([below[-1] + 1])
        return self.rows("WHERE path = ? OR (path >= ? AND path < ?)", os.fsencode(path), below, behind)

    def vacuum(self) -> None:
        """Write the file anew without the room of removed entries; a power cut leaves the old or the new."""
        with reported(self.folder):
            self._connection.execute("VACUUM")

    def set_setting(self, name: str, value: Any | None) -> None:
        """Keep a JSON value under a name, in one commit; None removes it."""
        with self._writing() as tally:
            settings = self.settings()
            if name in settings:
                self._connection.execute("DELETE FROM settings WHERE name = ?", (name,))
                tally.settings -= digest(name, settings[name])
            if value is not None:
                self._insert_setting(tally, name, json.dumps(value))

    def _insert_setting(self, tally: Tally, name: str, text: str) -> None:
        checksum = digest(name, text)
        self._connection.execute("INSERT INTO settings VALUES (?, ?, ?)", (name, text, checksum))
        tally.settings += checksum

    def restore(
        self, entries: Iterable[tuple[Entry, bytes]], settings: Mapping[str, str], before: Tally
    ) -> None:
        """Fill a new index with what was saved of another, under the ids that it had, in one commit.

        Args:
            entries: each with its vector (D,), float32 in little-endian bytes.
            settings: name -> JSON text.
            before: the other's tally, so that no id is given again.
        """
        with self._writing() as tally:
            tally.generation, tally.next_id = before.generation + 1, before.next_id
            for entry, vector in entries:
                insert_entry(self._connection, tally, entry, vector)
            for name, text in settings.items():
                self._insert_setting(tally, name, text)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Tally]:
        """Run the block in one commit, which the tally that it is given becomes part of."""
        try:
            with reported(self.folder), transaction(self._connection, "IMMEDIATE"):
                tally = self.tally()
                if tally is None:  # of format 1, which is migrated by opening it to write
                    raise not_writable(self.folder)
                before = dataclasses.replace(tally)
                yield tally
                if tally != before:
                    write_tally(self._connection, tally)
        except StorageError as error:
            raise StorageError(f"{error} ({self.count()} entries are committed)") from error
