"""Saving what can be saved of a damaged index into a new one, entry by entry; the old one is left alone."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import tempfile
from pathlib import Path

from edgesim.bundle import Bundle
from edgesim.errors import DamagedIndexError, IndexStoreError
from edgesim.runtime.database import connect_to_read, reported, transaction
from edgesim.runtime.digests import digest
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.new_head import copy_with_new_head
from edgesim.runtime.salvage import Finding, find_entries
from edgesim.runtime.schema import FORMAT_VERSION, read_meta
from edgesim.runtime.scoring import rescue_scoring
from edgesim.runtime.store import EntryStore
from edgesim.runtime.tally import Tally, read_tally


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repair:
    """What a repair has done.

    Attributes:
        saved: how many entries are in the new index, with their ids, labels and vectors.
        lost: those that are not.
        unnamed: how many more there were, of which nothing can be read; None if that cannot be told.
        lost_settings: whether a setting, such as a calibration, may be lost.
    """

    saved: int
    lost: list[Finding]
    unnamed: int | None
    lost_settings: bool


@dataclasses.dataclass(kw_only=True)
class _Remains:
    """What was read of the damaged index."""

    facts: IndexFacts
    intact: dict[str, Finding] = dataclasses.field(default_factory=dict)
    lost: list[Finding] = dataclasses.field(default_factory=list)
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    lost_settings: bool = False
    tally: Tally | None = None


def repair_index(folder: Path, out: Path, bundle: Bundle | None = None) -> Repair:
    """Copy every entry that is intact into a new index; its search graph is left to be built.

    Args:
        folder: of the damaged index, which is only read.
        out: of the new one.
        bundle: the encoder that made the index, in case it does not remember that any more.

    Raises:
        IndexStoreError: no index there, of another format version, or damaged so much that nothing can be
            saved; or `out` holds an index already.
        StorageError: the new one cannot be written.
    """
    remains = _read(folder, out, bundle)
    if not remains.intact and (remains.lost or remains.tally is None or remains.tally.entries):
        raise IndexStoreError(f"{folder}: none of its entries can be saved; restore it from a copy")
    with contextlib.closing(EntryStore.create(out, remains.facts)) as store:
        entries = [(found.entry, found.vector) for found in remains.intact.values() if found.entry]
        if not rescue_scoring(folder, remains.facts, out, remains.settings):
            remains.lost_settings = True
        store.restore(entries, remains.settings, remains.tally or Tally())
    known = len(remains.intact) + len(remains.lost)
    return Repair(
        saved=len(remains.intact),
        lost=remains.lost,
        unnamed=None if remains.tally is None else max(0, remains.tally.entries - known),
        lost_settings=remains.lost_settings,
    )


def _read(folder: Path, out: Path, bundle: Bundle | None) -> _Remains:
    """Read the index; or, where SQLite refuses it, a copy with another head, beside the new index."""
    try:
        with reported(folder), contextlib.closing(connect_to_read(folder)) as connection:
            return _read_remains(folder, connection, bundle)
    except DamagedIndexError:
        place = out.absolute().parent
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix=f".{out.name}.") as work:
            copy = copy_with_new_head(folder, Path(work))
            with reported(folder), contextlib.closing(connect_to_read(copy)) as connection:
                return _read_remains(folder, connection, bundle)


def _read_remains(folder: Path, connection: sqlite3.Connection, bundle: Bundle | None) -> _Remains:
    with transaction(connection, "DEFERRED"):
        version, remains = FORMAT_VERSION, _Remains(facts=IndexFacts.of(bundle)) if bundle else None
        try:
            version, meta = read_meta(folder, connection)
            remains = _Remains(facts=IndexFacts.from_rows(folder, meta))
        except (DamagedIndexError, sqlite3.Error):
            if remains is None:
                raise
        if version > 1:
            _read_settings(folder, connection, remains)
        dim = remains.facts.spec.embedding_dim
        for finding in find_entries(connection, dim, digests=version > 1):
            if finding.entry is not None and finding.entry.path not in remains.intact:
                remains.intact[finding.entry.path] = finding
            else:
                remains.lost.append(finding)
    # Damage may have given a path to two ids: one is lost once, and not at all if another is intact.
    lost = {finding.path or finding.entry_id: finding for finding in remains.lost}
    remains.lost = [finding for finding in lost.values() if finding.path not in remains.intact]
    return remains


def _read_settings(folder: Path, connection: sqlite3.Connection, remains: _Remains) -> None:
    try:
        remains.tally = read_tally(folder, connection)
    except (DamagedIndexError, sqlite3.Error):
        remains.lost_settings = True
    total = 0
    try:
        for name, value, checksum in connection.execute("SELECT name, value, digest FROM settings"):
            if digest(name, value) == checksum:
                remains.settings[name] = value
                total += checksum
    except sqlite3.Error:
        remains.lost_settings = True
    if remains.tally is not None and total != remains.tally.settings:
        remains.lost_settings = True
