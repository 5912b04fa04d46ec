"""The tables of an index.

    meta      format_version, encoder_id, encoder_name, embedding_dim, spec (JSON), bundle; key_model_id and
              key_model_name where the vectors come from a key model
    tally     one row about all entries together (edgesim.runtime.tally)
    entries   one row an image: absolute path, SHA-256, size and mtime of the file, float32 vector
    labels    keys and values, of an entry
    settings  JSON values that others keep in the index

Every row carries checksums (edgesim.runtime.digests); those of an entry cover its labels.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesim.errors import IndexStoreError
from edgesim.runtime.database import damaged
from edgesim.runtime.digests import digest
from edgesim.runtime.tally import Tally, write_tally

FORMAT_VERSION = 2

# The order of the columns of `entries` matters: a vector lies behind what is read without it.
_SCHEMA = {
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL, digest INTEGER NOT NULL) WITHOUT ROWID",
    "tally": "CREATE TABLE tally (only INTEGER PRIMARY KEY CHECK (only = 1), generation INTEGER NOT NULL, "
    "next_id INTEGER NOT NULL, entries INTEGER NOT NULL, vectors INTEGER NOT NULL, facts INTEGER NOT NULL, "
    "paths INTEGER NOT NULL, settings INTEGER NOT NULL, digest INTEGER NOT NULL)",
    # Paths are bytes, as not every file name is valid UTF-8.
    "entries": "CREATE TABLE entries (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, "
    "sha256 TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, "
    "facts_digest INTEGER NOT NULL, vector_digest INTEGER NOT NULL, vector BLOB NOT NULL)",
    "labels": "CREATE TABLE labels (entry_id INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE, "
    "key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (entry_id, key)) WITHOUT ROWID",
    "settings": "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL, "
    "digest INTEGER NOT NULL) WITHOUT ROWID",
}


def create_tables(connection: sqlite3.Connection, facts: Mapping[str, Any]) -> None:
    """Make the tables of an index without entries; `facts` go into `meta`."""
    for statement in _SCHEMA.values():
        connection.execute(statement)
    rows = {"format_version": str(FORMAT_VERSION), **facts}
    connection.executemany(
        "INSERT INTO meta VALUES (?, ?, ?)", [(key, value, digest(key, value)) for key, value in rows.items()]
    )
    write_tally(connection, Tally())


def read_meta(folder: Path, connection: sqlite3.Connection) -> tuple[int, dict[str, Any]]:
    """Return the format version of an index, and what else its table `meta` holds.

    Raises `IndexStoreError` for an unknown version and for a damaged table.
    """
    rows = connection.execute("SELECT * FROM meta").fetchall()
    for key, value, *checksum in rows:
        if checksum and checksum != [digest(key, value)]:
            raise damaged(folder, f"table meta: {key}")
    meta = {row[0]: row[1] for row in rows}
    version = meta.pop("format_version", None)
    if version not in ("1", str(FORMAT_VERSION)):
        raise IndexStoreError(
            f"{folder}: index format {version}, this edgesim reads formats 1 and {FORMAT_VERSION}; "
            "make the index again, or install the matching edgesim"
        )
    if version != "1":
        _check_schema(folder, connection)
    return int(version), meta


def _check_schema(folder: Path, connection: sqlite3.Connection) -> None:
    # A damaged word in it may be one that SQLite understands otherwise.
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
    found.pop("sqlite_sequence", None)  # stays behind in an index that had format 1
    if found != _SCHEMA:
        raise damaged(folder, "its tables are not those of an index")
