"""Reading the entries of an index one by one, past whatever is damaged."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections.abc import Iterator

import numpy as np

from edgesim.runtime.digests import vector_digest
from edgesim.runtime.entry import Entry, one_line
from edgesim.runtime.reader import normalised
from edgesim.runtime.rows import Row, read_rows

# SQLite's name for its table of the paths, from which a path can be read whose row is lost.
_TABLE_OF_PATHS = "sqlite_autoindex_entries_1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What can be read of one entry.

    Attributes:
        entry_id: its id.
        path: as far as it can be read; sure only without a fault, or with one of the vector.
        entry: all that is known of it; None if there is a fault.
        vector: its bytes, (D,) float32 in little-endian; empty if there is a fault.
        fault: what is wrong with it, None if nothing is.
    """

    entry_id: int
    path: str | None
    entry: Entry | None = None
    vector: bytes = b""
    fault: str | None = None


def find_entries(connection: sqlite3.Connection, dim: int, *, digests: bool) -> Iterator[Finding]:
    """Yield what can be read of each entry, by rising id.

    Args:
        connection: to the index.
        dim: of its vectors.
        digests: whether the index has checksums.
    """
    paths = _paths(connection)
    for entry_id in _ids(connection, set(paths)):
        path = paths.get(entry_id)
        try:
            rows = read_rows(connection, "WHERE id = ?", entry_id, digests=digests)
            query = "SELECT vector FROM entries WHERE id = ?"
            vectors = connection.execute(query, (entry_id,)).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            yield Finding(entry_id=entry_id, path=path, fault=f"cannot be read ({one_line(error)})")
            continue
        if rows and vectors:
            yield _finding(rows[0], vectors[0][0], dim)
        elif path is not None:
            yield Finding(entry_id=entry_id, path=path, fault="is missing")


def _finding(row: Row, vector: object, dim: int) -> Finding:
    entry, fault = row.entry, None
    if not row.is_intact():
        fault = "is not what was written"
    elif not isinstance(vector, bytes) or len(vector) != 4 * dim:
        fault = "has a vector of another size"
    elif row.vector_digest not in (None, vector_digest(entry.entry_id, vector)):
        fault = "has not the vector that was written"
    elif not normalised(np.frombuffer(vector, dtype="<f4")[None]):
        fault = "has a vector that is not of length 1"
    if fault is not None or not isinstance(vector, bytes):
        return Finding(entry_id=entry.entry_id, path=entry.path, fault=fault)
    return Finding(entry_id=entry.entry_id, path=entry.path, entry=entry, vector=vector)


def _paths(connection: sqlite3.Connection) -> dict[int, str]:
    """Return id -> path as far as the table of paths can be read."""
    query = f"SELECT id, path FROM entries INDEXED BY {_TABLE_OF_PATHS} ORDER BY path"
    rows, whole = _rows_up_to_damage(connection, query)
    if not whole:
        rows += _rows_up_to_damage(connection, f"{query} DESC")[0]
    return {row[0]: os.fsdecode(row[1]) for row in rows if isinstance(row[1], bytes)}


def _ids(connection: sqlite3.Connection, known: set[int]) -> list[int]:
    """Return all ids that there may be, rising."""
    query = "SELECT id FROM entries NOT INDEXED ORDER BY id"
    rows, whole = _rows_up_to_damage(connection, query)
    ids = {row[0] for row in rows}
    if not whole:
        behind = {row[0] for row in _rows_up_to_damage(connection, f"{query} DESC")[0]}
        # Between the first damage and the last, each may still be found by itself.
        first, last = max(ids, default=0), min(behind, default=max(known, default=0))
        ids |= behind | set(range(first + 1, last))
    return sorted(ids | known)


def _rows_up_to_damage(connection: sqlite3.Connection, query: str) -> tuple[list[tuple[int, object]], bool]:
    """Return the rows before the first that cannot be read, and whether they are all."""
    rows: list[tuple[int, object]] = []
    try:
        rows.extend(connection.execute(query))
    except (sqlite3.Error, UnicodeDecodeError):
        return rows, False
    return rows, True
