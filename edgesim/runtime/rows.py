"""The rows of the table `entries`: each change of one goes with its labels, its checksums and the tally."""

from __future__ import annotations

import dataclasses
import functools
import os
import sqlite3
from collections.abc import Iterator

from edgesim.runtime.digests import facts_digest, joined_digest, label_text, path_digest, vector_digest
from edgesim.runtime.entry import Entry
from edgesim.runtime.tally import Tally

# So many ids are given to one statement; SQLite before 3.32 takes 999 parameters.
PARAMETERS = 500


@dataclasses.dataclass(frozen=True)
class Row:
    """A row with its labels, apart from the vector. The checksums are None in an index of format 1."""

    entry: Entry
    facts_digest: int | None
    vector_digest: int | None

    def is_intact(self) -> bool:
        """Return whether the entry is what was written; what has no checksum is taken to be."""
        if self.facts_digest is None or self.vector_digest is None:
            return True
        try:
            return self.facts_digest == _facts_digest(self.entry, self.vector_digest)
        except (TypeError, UnicodeEncodeError):  # a value of another type
            return False


def read_rows(connection: sqlite3.Connection, where: str, *values: object, digests: bool = True) -> list[Row]:
    """Return the rows that a condition selects, by rising id, without comparing them.

    Args:
        connection: to the index.
        where: all of them if it is empty.
        values: of its parameters.
        digests: whether the index has checksums.
    """
    columns = "facts_digest, vector_digest" if digests else "NULL, NULL"
    found = connection.execute(
        f"SELECT id, path, sha256, size, mtime_ns, {columns} FROM entries {where} ORDER BY id", values
    ).fetchall()
    if not found:
        return []
    labels = _labels(connection, [row[0] for row in found] if where else None)
    return [
        Row(
            Entry(
                entry_id=entry_id,
                path=os.fsdecode(path) if isinstance(path, bytes) else str(path),
                sha256=sha256,
                size=size,
                mtime_ns=mtime_ns,
                labels=labels.get(entry_id, {}),
            ),
            facts_sum,
            vector_sum,
        )
        for entry_id, path, sha256, size, mtime_ns, facts_sum, vector_sum in found
    ]


def marks(count: int) -> str:
    """Return so many parameters of a statement: `?, ?`."""
    return ", ".join("?" * count)


def stored_digests(connection: sqlite3.Connection) -> Iterator[tuple[int, int, int]]:
    """Yield id, checksum as it is written, and as it ought to be, of all entries."""
    labels = connection.execute("SELECT entry_id, key, value FROM labels ORDER BY entry_id, key")
    label = next(labels, None)
    for entry_id, path, sha256, size, mtime_ns, vector_sum, facts_sum in connection.execute(
        "SELECT id, path, sha256, size, mtime_ns, vector_digest, facts_digest FROM entries ORDER BY id"
    ):
        pairs = []
        while label is not None and label[0] == entry_id:
            pairs.append(_pair(label[1], label[2]))
            label = next(labels, None)
        yield entry_id, facts_sum, joined_digest(entry_id, path, sha256, size, mtime_ns, vector_sum, pairs)


# Most labels are those of many entries.
_pair = functools.lru_cache(maxsize=1000)(label_text)


def _labels(connection: sqlite3.Connection, ids: list[int] | None) -> dict[int, dict[str, str]]:
    """Return the labels of some entries, or of all."""
    query = "SELECT entry_id, key, value FROM labels"
    if ids is None:
        rows = connection.execute(f"{query} ORDER BY entry_id, key").fetchall()
    else:
        rows = []
        for start in range(0, len(ids), PARAMETERS):
            some = ids[start : start + PARAMETERS]
            where = f"WHERE entry_id IN ({marks(len(some))})"
            rows += connection.execute(f"{query} {where} ORDER BY entry_id, key", some).fetchall()
    labels: dict[int, dict[str, str]] = {}
    for entry_id, key, value in rows:
        labels.setdefault(entry_id, {})[key] = value
    return labels


def insert_entry(connection: sqlite3.Connection, tally: Tally, entry: Entry, vector: bytes) -> None:
    """Write a new entry and its vector (D,), float32 in little-endian bytes."""
    path, vector_sum = os.fsencode(entry.path), vector_digest(entry.entry_id, vector)
    facts_sum = _facts_digest(entry, vector_sum)
    connection.execute(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (entry.entry_id, path, entry.sha256, entry.size, entry.mtime_ns, facts_sum, vector_sum, vector),
    )
    _write_labels(connection, entry)
    tally.next_id = max(tally.next_id, entry.entry_id + 1)
    tally.entries += 1
    tally.vectors += vector_sum
    tally.facts += facts_sum
    tally.paths += path_digest(entry.entry_id, path)


def update_entry(connection: sqlite3.Connection, tally: Tally, entry: Entry, old: Row) -> None:
    """Write the size, time and labels of an entry."""
    facts_sum = _facts_digest(entry, old.vector_digest or 0)
    connection.execute(
        "UPDATE entries SET size = ?, mtime_ns = ?, facts_digest = ? WHERE id = ?",
        (entry.size, entry.mtime_ns, facts_sum, entry.entry_id),
    )
    gone = old.entry.labels.keys() - entry.labels.keys()
    connection.executemany(
        "DELETE FROM labels WHERE entry_id = ? AND key = ?", [(entry.entry_id, key) for key in sorted(gone)]
    )
    _write_labels(connection, entry)
    tally.facts += facts_sum - (old.facts_digest or 0)


def delete_entry(connection: sqlite3.Connection, tally: Tally, row: Row) -> None:
    """Remove an entry; its labels go with it."""
    entry_id = row.entry.entry_id
    connection.execute("DELETE FROM entries WHERE id = ?", (entry_id,))
    tally.entries -= 1
    tally.vectors -= row.vector_digest or 0
    tally.facts -= row.facts_digest or 0
    tally.paths -= path_digest(entry_id, os.fsencode(row.entry.path))


def _write_labels(connection: sqlite3.Connection, entry: Entry) -> None:
    if not entry.labels:
        return
    connection.executemany(
        "INSERT OR REPLACE INTO labels VALUES (?, ?, ?)",
        [(entry.entry_id, key, value) for key, value in entry.labels.items()],
    )


def _facts_digest(entry: Entry, vector_sum: int) -> int:
    return facts_digest(
        entry.entry_id,
        os.fsencode(entry.path),
        entry.sha256,
        entry.size,
        entry.mtime_ns,
        vector_sum,
        entry.labels,
    )
