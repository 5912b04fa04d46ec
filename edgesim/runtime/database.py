"""SQLite as edgesim uses it: connections, transactions, and its errors in the words of ours.

Everything is journalled by rollback and synchronised to the disk in full, so that a commit that has
returned survives a power cut. The journal is kept and its head overwritten (journal_mode PERSIST): with
DELETE, a power cut just after the commit can bring the journal back, and undo the commit; and SD cards are
spared the making and removing of a file. A folder on a read-only medium can be read.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edgesim.errors import DamagedIndexError, EdgesimError, IndexStoreError, StorageError
from edgesim.runtime.change_counter import CountingConnection
from edgesim.runtime.entry import one_line

ENTRIES_FILE = "entries.sqlite3"
# How many seconds a connection waits for another one's lock. A commit takes milliseconds, so a longer wait
# means that somebody holds on to it.
BUSY_TIMEOUT = 10.0
# Of a new index, in bytes. A commit writes each page that it changes twice: bench/bench_index_durability.py.
PAGE_SIZE = 512
# What a large commit leaves of the journal, in bytes. Our choice.
_JOURNAL_BYTES = 1 << 20
# Of a journal that undoes the creation of a file: its first 8 bytes, and where the number of pages before is.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_PAGES_BEFORE = slice(16, 20)


def exists(folder: Path) -> bool:
    """Return whether there is an index in `folder`, damaged or not.

    What a killed creation leaves is none: an empty file, or one with a journal that empties it.
    """
    path = folder / ENTRIES_FILE
    if not path.is_file() or path.stat().st_size == 0:
        return False
    try:
        with (folder / f"{ENTRIES_FILE}-journal").open("rb") as stream:
            head = stream.read(_PAGES_BEFORE.stop)
    except OSError:
        return True
    return not (head.startswith(_JOURNAL_MAGIC) and not any(head[_PAGES_BEFORE]))


def connect_to_write(folder: Path, *, create: bool = False) -> CountingConnection:
    """Open the index in `folder` for reading and writing."""
    with closed_on_failure(_connect(folder, "rwc" if create else "rw")) as connection:
        if create:
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = PERSIST")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection


def connect_to_read(folder: Path) -> CountingConnection:
    """Open the index in `folder` so that nothing can be written, not even a lock file."""
    with closed_on_failure(_connect(folder, "ro")) as connection:
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            # A writer was killed amid a commit. Only a connection that may write can undo the half of it.
            with contextlib.closing(connect_to_write(folder)) as writer:
                writer.execute("SELECT 1 FROM sqlite_master").fetchone()
        return connection


def _connect(folder: Path, mode: str) -> CountingConnection:
    if mode != "rwc" and not exists(folder):
        raise IndexStoreError(f"{folder}: no index there; make one with: edgesim index add {folder} PATH")
    path = folder / ENTRIES_FILE
    with closed_on_failure(
        sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            factory=CountingConnection,
        )
    ) as connection:
        connection.count_changes_of(path)
        return connection


@contextlib.contextmanager
def closed_on_failure(connection: CountingConnection) -> Iterator[CountingConnection]:
    """Close the connection if the block fails, and leave it open if not."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def check_length(folder: Path, connection: sqlite3.Connection) -> None:
    """Raise `IndexStoreError` if the file was cut off; to be called in a transaction.

    SQLite takes a cut within the last page for zeros.
    """
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if (folder / ENTRIES_FILE).stat().st_size < pages * size:
        raise damaged(folder, "cut off")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """Run the block in one transaction, `DEFERRED` to read or `IMMEDIATE` to write; roll back if it fails."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors, such as a full disk.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn SQLite's errors into `IndexStoreError` or `StorageError` about the index in `folder`."""
    try:
        yield
    except sqlite3.ProgrammingError:  # our caller's defect, such as use in two threads
        raise
    except sqlite3.Error as error:
        raise _translated(folder, error) from error
    except UnicodeDecodeError as error:  # text, or a message about it, that is none
        raise damaged(folder, error) from error


def damaged(folder: Path, detail: object) -> DamagedIndexError:
    """Return the error for an index whose content makes no sense."""
    detail = one_line(detail)
    return DamagedIndexError(
        f"{folder}: {ENTRIES_FILE} is damaged ({detail}); restore it from a copy, or save what can be saved "
        f"with: edgesim index repair {folder} --out NEW",
        detail,
    )


def not_writable(folder: Path) -> StorageError:
    """Return the error for an index that cannot be written to."""
    return StorageError(
        f"{folder}: read-only, or not yours to write; make it writable and run the same command again"
    )


def _translated(folder: Path, error: sqlite3.Error) -> EdgesimError:
    # Errors raised by the Python module itself carry no code.
    code = getattr(error, "sqlite_errorcode", None) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return IndexStoreError(
                f"{folder}: another program is writing to this index; run the command again when it is done"
            )
        case sqlite3.SQLITE_FULL:
            return StorageError(f"{folder}: the disk is full; free some space and run the same command again")
        case sqlite3.SQLITE_READONLY if code == sqlite3.SQLITE_READONLY_ROLLBACK:
            return StorageError(
                f"{folder}: a write was interrupted and cannot be undone, as the folder is read-only; "
                "make it writable and run the command again"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return not_writable(folder)
        case sqlite3.SQLITE_IOERR:
            return StorageError(f"{folder}: the disk fails ({error}); check it")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
            # SQLITE_ERROR: our statements are sound, so a table is missing.
            message = f"{folder}: {ENTRIES_FILE} is not an index of edgesim ({one_line(error)})"
            return DamagedIndexError(message, f"not an index of edgesim: {one_line(error)}")
        case _:
            return damaged(folder, error)
