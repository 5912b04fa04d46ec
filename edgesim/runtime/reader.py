"""Reading the entries of an index, and comparing each with its checksum before it is believed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.runtime.change_counter import CountingConnection
from edgesim.runtime.commits import Commits
from edgesim.runtime.database import check_length, damaged, reported, transaction
from edgesim.runtime.digests import digest, path_digest, vector_digest
from edgesim.runtime.entry import Entry
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.rows import PARAMETERS, Row, marks, read_rows
from edgesim.runtime.schema import read_meta
from edgesim.runtime.tally import Tally, read_tally
from edgesim.runtime.versions import Commit, Version

# So many vectors are taken from SQLite at a time.
_PART = 1000
# The largest that SQLite has.
_LAST_ID = 2**63 - 1


class EntryReader:
    """The open entries of the index in `folder`, to read; for use in one thread.

    Every method raises `IndexStoreError` when the file is damaged or another program holds it, and
    `StorageError` when the disk fails.

    Attributes:
        folder: of the index.
        facts: what it remembers about the encoder that made it.
        format_version: 1, without checksums, or the present one.
    """

    def __init__(self, folder: Path, connection: CountingConnection) -> None:
        self.folder = folder
        self._connection = connection
        self._commits = Commits(connection)
        self._paths_compared = False
        with transaction(connection, "DEFERRED"):
            check_length(folder, connection)
            self.format_version, meta = read_meta(folder, connection)
        self.facts = IndexFacts.from_rows(folder, meta)

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self._connection.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see the same state, whatever others commit meanwhile."""
        with reported(self.folder):
            if self._connection.in_transaction:
                yield
                return
            with transaction(self._connection, "DEFERRED"):
                yield

    def tally(self) -> Tally | None:
        """Return what is known of all entries together; None for an index of format 1."""
        with reported(self.folder):
            if self.format_version == 1:  # until another program migrates it
                self.format_version = read_meta(self.folder, self._connection)[0]
            return None if self.format_version == 1 else read_tally(self.folder, self._connection)

    def commit(self) -> Commit:
        """Return what another commit will change; it costs less than to read the tally."""
        with reported(self.folder):
            return self._commits.last()

    def version(self) -> Version:
        """Return the name of the present set of vectors."""
        tally = self.tally()
        if tally is not None:
            return Version(tally.generation, tally.vectors, tally.entries, tally.next_id)
        with reported(self.folder):
            return Version(self._value("SELECT value FROM meta WHERE key = 'generation'"))

    def count(self) -> int:
        """Return the number of entries."""
        tally = self.tally()
        if tally is not None:
            return tally.entries
        with reported(self.folder):
            return self._value("SELECT count(*) FROM entries")

    def _value(self, query: str, *values: object) -> int:
        return int(self._connection.execute(query, values).fetchone()[0])

    def ids(self) -> list[int]:
        """Return the ids of all entries, rising."""
        with self.snapshot():
            tally = self.tally()
            ids = [row[0] for row in self._connection.execute("SELECT id FROM entries ORDER BY id")]
            if tally is not None and len(ids) != tally.entries:
                raise damaged(self.folder, f"{len(ids)} of {tally.entries} entries are left")
            return ids

    def vectors(self, after: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return ids (N,), rising, and vectors (N, D) of the entries whose id is above `after`."""
        with self.snapshot():
            tally = self.tally()
            ids, vectors, total = self.vectors_since(after + 1)
            if tally is not None and total + sum(self.vector_digests(up_to=after).values()) != tally.vectors:
                raise damaged(self.folder, "the vectors are not those that were written")
        return ids, vectors

    def _to_array(self, blobs: list[bytes]) -> NDArray[np.float32]:
        try:
            vectors = np.frombuffer(b"".join(blobs), dtype="<f4")
            vectors = vectors.reshape(len(blobs), self.facts.spec.embedding_dim)
        except (TypeError, ValueError) as error:
            raise damaged(self.folder, f"vectors: {error}") from error
        if not normalised(vectors):
            raise damaged(self.folder, "a vector is not of length 1")
        return vectors

    def vectors_since(
        self, first: int, up_to: int = _LAST_ID
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """Return ids (N,), rising, and vectors (N, D) of the entries with these ids, and their digests' sum.

        That is computed from the vectors; to compare it with the tally is up to the caller.
        """
        with self.snapshot():
            count = self._value("SELECT count(*) FROM entries WHERE id BETWEEN ? AND ?", first, up_to)
            rows = self._connection.execute(
                "SELECT id, vector FROM entries WHERE id BETWEEN ? AND ? ORDER BY id", (first, up_to)
            )
            # Part by part: all rows at once would take more memory than the vectors that they become.
            ids, vectors = np.empty(count, np.int64), np.empty((count, self.facts.spec.embedding_dim), "<f4")
            done = total = 0
            while some := rows.fetchmany(_PART):
                part = slice(done, done + len(some))
                total += self._sum(vector_digest, some)
                ids[part], vectors[part] = [row[0] for row in some], self._to_array([row[1] for row in some])
                done = part.stop
        return ids, vectors, total

    def vector_digests(self, first: int = 0, up_to: int = _LAST_ID) -> dict[int, int]:
        """Return id -> checksum of the vector, of the entries with these ids."""
        if up_to <= 0:
            return {}
        with reported(self.folder):
            query = "SELECT id, vector_digest FROM entries WHERE id BETWEEN ? AND ?"
            digests = dict(self._connection.execute(query, (first, up_to)).fetchall())
        if not all(isinstance(checksum, int) for checksum in digests.values()):
            raise damaged(self.folder, "the checksum of a vector")
        return digests

    def entries(self) -> list[Entry]:
        """Return all entries, by rising id."""
        with self.snapshot():
            tally = self.tally()
            rows = [self._checked(row) for row in self.rows()]
            if tally is not None and (
                (len(rows), sum(row.facts_digest or 0 for row in rows)) != (tally.entries, tally.facts)
            ):
                raise damaged(self.folder, "the entries are not those that were written")
        return [row.entry for row in rows]

    def parts(self, size: int) -> Iterator[tuple[list[Entry], NDArray[np.float32]]]:
        """Yield all entries by rising id, so many at a time, and their vectors (N, D).

        To be gone through in a snapshot, and to the end: only then are all compared.
        """
        tally, ids = self.tally(), self.ids()
        facts = vectors = 0
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            rows = [self._checked(row) for row in self.rows("WHERE id BETWEEN ? AND ?", part[0], part[-1])]
            _, found, total = self.vectors_since(part[0], part[-1])
            facts, vectors = facts + sum(row.facts_digest or 0 for row in rows), vectors + total
            yield [row.entry for row in rows], found
        if tally is not None and (facts, vectors) != (tally.facts, tally.vectors):
            raise damaged(self.folder, "the entries are not those that were written")

    def entries_of(self, ids: list[int]) -> list[Entry]:
        """Return the entries with these ids, which are in the index, in that order."""
        with self.snapshot():
            found = {}
            for start in range(0, len(ids), PARAMETERS):
                some = ids[start : start + PARAMETERS]
                for row in self.rows(f"WHERE id IN ({marks(len(some))})", *some):
                    found[row.entry.entry_id] = self._checked(row).entry
        for entry_id in ids:
            if entry_id not in found:
                raise damaged(self.folder, f"entry {entry_id} is missing")
        return [found[entry_id] for entry_id in ids]

    def find(self, path: str) -> Entry | None:
        """Return the entry of an absolute path, or None."""
        with self.snapshot():
            self.compare_paths()
            row = self._row_at(path)
        return row.entry if row else None

    def _row_at(self, path: str) -> Row | None:
        rows = read_rows(
            self._connection, "WHERE path = ?", os.fsencode(path), digests=self.format_version > 1
        )
        return self._checked(rows[0]) if rows else None

    def compare_paths(self) -> None:
        """Compare SQLite's table of paths, once: where it is damaged, paths are not found that are there."""
        if self._paths_compared:
            return
        with self.snapshot():
            if (tally := self.tally()) is None:
                return
            rows = self._connection.execute("SELECT id, path FROM entries ORDER BY path").fetchall()
        if self._sum(path_digest, rows) != tally.paths:
            raise damaged(self.folder, "the table of paths")
        self._paths_compared = True

    def _sum(self, digest_of: Callable[[int, bytes], int], rows: list[tuple[int, bytes]]) -> int:
        try:
            return sum([digest_of(entry_id, content) for entry_id, content in rows])
        except TypeError as error:  # a value of another type
            raise damaged(self.folder, error) from error

    def _checked(self, row: Row) -> Row:
        if not row.is_intact():
            raise damaged(self.folder, f"entry {row.entry.entry_id}")
        return row

    def rows(self, where: str = "", *values: object) -> list[Row]:
        """Return the rows that a condition selects, by rising id, without comparing them."""
        with reported(self.folder):
            return read_rows(self._connection, where, *values, digests=self.format_version > 1)

    def label_keys(self) -> list[str]:
        """Return the keys of all labels, rising, without comparing them."""
        with reported(self.folder):
            rows = self._connection.execute("SELECT DISTINCT key FROM labels ORDER BY key")
            return [key for (key,) in rows]

    def setting(self, name: str) -> Any | None:
        """Return the JSON value that was written last under a name, None if there is none."""
        settings = self.settings()
        try:
            return json.loads(settings[name]) if name in settings else None
        except (ValueError, RecursionError) as error:
            raise damaged(self.folder, f"setting {name}: {error}") from error

    def settings(self) -> dict[str, str]:
        """Return all settings: name -> JSON text."""
        with self.snapshot():
            tally = self.tally()
            if tally is None:
                return {}
            rows = self._connection.execute(
                "SELECT name, value, digest FROM settings ORDER BY name"
            ).fetchall()
            sums = [digest(name, value) for name, value, _ in rows]
            if sums != [row[2] for row in rows] or sum(sums) != tally.settings:
                raise damaged(self.folder, "table settings")
            return {name: value for name, value, _ in rows}


def normalised(vectors: NDArray[np.float32]) -> bool:
    """Return whether all rows of (N, D) have length 1, or 0, which is how zeros are normalised.

    A damaged exponent makes numbers that drown all others, or that are none; those are caught here.
    """
    squares = np.einsum("nd,nd->n", vectors, vectors)
    return bool(np.all((np.abs(squares - 1) < 0.01) | (squares == 0)))
