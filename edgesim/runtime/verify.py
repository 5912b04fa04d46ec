"""Looking for damage in an index: every page, every row, and the search graph against the entries."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edgesim.errors import DamagedIndexError
from edgesim.runtime.database import ENTRIES_FILE, connect_to_read, reported
from edgesim.runtime.entry import one_line, printable
from edgesim.runtime.graph import GRAPH_FILE, hnswlib_installed
from edgesim.runtime.graph_cache import GraphCache, holds_vectors
from edgesim.runtime.index import EXACT_LIMIT
from edgesim.runtime.live_graph import load_live_graph
from edgesim.runtime.reader import EntryReader
from edgesim.runtime.salvage import find_entries
from edgesim.runtime.scoring import scoring_damage

# More lines of SQLite's about one file help nobody.
_SQLITE_LINES = 20


@dataclasses.dataclass(kw_only=True)
class Verification:
    """What was found.

    Attributes:
        format_version: of the index; one of format 1 has no checksums yet. None if it cannot be told.
        entries: how many are intact.
        graph: as in `Index.stats`; a stale or missing one is no damage, and without hnswlib it is not read.
        damage: one line each, empty if there is none.
    """

    format_version: int | None = None
    entries: int = 0
    graph: str = "not needed"
    damage: list[str] = dataclasses.field(default_factory=list)


def verify_index(folder: Path) -> Verification:
    """Look at all that an index holds; writes nothing.

    Raises:
        IndexStoreError: no index there, busy, or of another format version.
        StorageError: the disk fails.
    """
    found = Verification()
    with _noted(found), reported(folder), contextlib.closing(connect_to_read(folder)) as connection:
        reader = EntryReader(folder, connection)
        found.format_version = reader.format_version
        with reader.snapshot():
            for look in (_look_at_pages, _look_at_entries):
                with _noted(found), reported(folder):
                    look(connection, reader, found)
            reads = (reader.tally, reader.ids, reader.vectors, reader.entries, reader.settings)
            for read in (*reads, reader.compare_paths):
                with _noted(found):
                    read()
            for look_at in (_look_at_graph, _look_at_scoring):
                with _noted(found):
                    look_at(reader, found)
    return found


@contextlib.contextmanager
def _noted(found: Verification) -> Iterator[None]:
    """Note damage of the entries that the block comes upon, once."""
    try:
        yield
    except DamagedIndexError as error:
        line = f"{ENTRIES_FILE}: {error.detail}"
        if line not in found.damage:
            found.damage.append(line)


def _look_at_pages(connection: sqlite3.Connection, reader: EntryReader, found: Verification) -> None:
    lines = connection.execute(f"PRAGMA integrity_check({_SQLITE_LINES})").fetchall()
    found.damage += [f"{ENTRIES_FILE}: SQLite finds: {line}" for (line,) in lines if line != "ok"]


def _look_at_entries(connection: sqlite3.Connection, reader: EntryReader, found: Verification) -> None:
    dim = reader.facts.spec.embedding_dim
    for finding in find_entries(connection, dim, digests=reader.format_version > 1):
        if finding.fault is None:
            found.entries += 1
        else:
            name = f" ({one_line(printable(finding.path))})" if finding.path is not None else ""
            found.damage.append(f"{ENTRIES_FILE}: entry {finding.entry_id}{name} {finding.fault}")


def _look_at_scoring(reader: EntryReader, found: Verification) -> None:
    if (line := scoring_damage(reader.folder, reader.facts, reader.settings())) is not None:
        found.damage.append(line)


def _look_at_graph(reader: EntryReader, found: Verification) -> None:
    cache = GraphCache(reader.folder, reader.facts)
    try:
        version, ids = reader.version(), set(reader.ids())
    except DamagedIndexError:  # said already; there is nothing to compare the graph with
        found.graph = cache.state(None)
        return
    if hnswlib_installed():
        found.graph, live = load_live_graph(cache, reader, EXACT_LIMIT)
        if live is not None:
            older = ids - set(live.ids.tolist())
            if not older <= live.graph.ids() or not holds_vectors(live.graph, older, reader):
                found.graph = "damaged"
    else:
        state = cache.state(version)
        found.graph = "no hnswlib" if state in ("fresh", "stale") else state
    if found.graph == "missing" and len(ids) <= EXACT_LIMIT:
        found.graph = "not needed"
    if found.graph == "damaged":
        found.damage.append(f"{GRAPH_FILE}: not the search graph that was written for these entries")
