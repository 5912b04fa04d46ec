"""How an index of the format before becomes one of the present format.

Format 1 had neither checksums nor the tables `tally` and `settings`.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edgesim.runtime.database import damaged
from edgesim.runtime.entry import Entry
from edgesim.runtime.rows import insert_entry
from edgesim.runtime.schema import create_tables, read_meta
from edgesim.runtime.tally import Tally, write_tally

_PART = 1000


def migrate(folder: Path, connection: sqlite3.Connection) -> None:
    """Bring an index of format 1 to the present one; to be called in a transaction that writes.

    What its rows hold is taken to be right where SQLite finds no fault; else raises `IndexStoreError`.
    """
    fault = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if fault != "ok":
        raise damaged(folder, fault)
    meta = read_meta(folder, connection)[1]
    for table in ("meta", "entries", "labels"):
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    try:
        tally = Tally(generation=int(meta.pop("generation")))
        create_tables(connection, meta)
        while _move_entries(connection, tally):
            pass
    except (KeyError, AttributeError, TypeError, ValueError) as error:  # a value of another type
        raise damaged(folder, error) from error
    # No row there if nothing was ever added.
    for (last_id,) in connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries_1'"):
        tally.next_id = last_id + 1
    write_tally(connection, tally)
    for table in ("labels", "entries", "meta"):
        connection.execute(f"DROP TABLE {table}_1")


def _move_entries(connection: sqlite3.Connection, tally: Tally) -> bool:
    """Move some entries out of the tables of format 1; return whether there were any.

    In parts, so that the room of those that have moved is used again.
    """
    rows = connection.execute(
        "SELECT id, path, sha256, size, mtime_ns, vector FROM entries_1 ORDER BY id LIMIT ?", (_PART,)
    ).fetchall()
    for entry_id, path, sha256, size, mtime_ns, vector in rows:
        labels = connection.execute("SELECT key, value FROM labels_1 WHERE entry_id = ?", (entry_id,))
        entry = Entry(
            entry_id=entry_id,
            path=os.fsdecode(path),
            sha256=sha256,
            size=size,
            mtime_ns=mtime_ns,
            labels=dict(labels.fetchall()),
        )
        insert_entry(connection, tally, entry, vector)
    connection.executemany("DELETE FROM entries_1 WHERE id = ?", [row[:1] for row in rows])
    return bool(rows)
