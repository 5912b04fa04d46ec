"""What an index knows of all its entries together, kept in the commit that changes them.

Sums of checksums tell that a row was lost, or brought back, by damage: then the rest still looks right.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

from edgesim.runtime.database import damaged
from edgesim.runtime.digests import digest


@dataclasses.dataclass(kw_only=True)
class Tally:
    """The one row of the table `tally`.

    Attributes:
        generation: how many commits have changed the set of vectors.
        next_id: what the next entry is called; an id is never given again.
        entries: how many there are.
        vectors, facts, paths, settings: sums of the checksums of all vectors, of all that is known of each
            entry, of all pairs of id and path, and of all settings (`edgesim.runtime.digests`).
    """

    generation: int = 0
    next_id: int = 1
    entries: int = 0
    vectors: int = 0
    facts: int = 0
    paths: int = 0
    settings: int = 0


_NAMES = tuple(field.name for field in dataclasses.fields(Tally))


def read_tally(folder: Path, connection: sqlite3.Connection) -> Tally:
    """Return the tally of the index in `folder`. Raises `IndexStoreError` if it is damaged."""
    rows = connection.execute(f"SELECT {', '.join(_NAMES)}, digest FROM tally").fetchall()
    if len(rows) != 1 or digest(*rows[0][:-1]) != rows[0][-1]:
        raise damaged(folder, "table tally")
    return Tally(**dict(zip(_NAMES, rows[0], strict=False)))


def write_tally(connection: sqlite3.Connection, tally: Tally) -> None:
    """Replace the tally; to be called in a transaction that writes."""
    values = dataclasses.astuple(tally)
    connection.execute(
        "INSERT OR REPLACE INTO tally VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, digest(*values))
    )
