"""The file change counter tells of every commit, is believed only where it is right, and breaks no lock."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from edgesim.runtime import commits
from edgesim.runtime.commits import Commits
from edgesim.runtime.database import ENTRIES_FILE, PAGE_SIZE, connect_to_read, connect_to_write

TRY_TO_WRITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
"""


@pytest.fixture
def folder(tmp_path):
    with contextlib.closing(connect_to_write(tmp_path, create=True)) as connection:
        connection.execute("CREATE TABLE numbers (number)")
    return tmp_path


@pytest.fixture
def reader(folder):
    with contextlib.closing(connect_to_read(folder)) as connection:
        yield connection


@pytest.fixture
def writer(folder):
    with contextlib.closing(connect_to_write(folder)) as connection:
        yield connection


@pytest.fixture
def asked(monkeypatch):
    """What `Commits` asks SQLite, as it asks it."""
    seen = []

    class Noting:
        def __init__(self, connection):
            self.connection = connection

        def execute(self, query):
            seen.append(query)
            return self.connection.execute(query)

        def __getattr__(self, name):
            return getattr(self.connection, name)

    begin = Commits.__init__
    monkeypatch.setattr(Commits, "__init__", lambda self, connection: begin(self, Noting(connection)))
    return seen


def look(reader, told):
    """Let `told` learn what the last commit is, in a transaction."""
    reader.execute("BEGIN")
    found = told.last()
    reader.execute("COMMIT")
    return found


def add(connection, number=1):
    connection.execute("INSERT INTO numbers VALUES (?)", (number,))


def put_head_back(path, pages):
    """Give a journal back the head that the commit has overwritten (SQLite, "Database File Format", 3)."""
    content, length = path.read_bytes(), PAGE_SIZE + 8
    records = [content[start:][:length] for start in range(512, len(content), length)]
    # A record: the page's number, the page, and every 200th byte summed, from the journal's nonce on.
    nonces = [
        int.from_bytes(record[-4:], "big") - sum(record[4:-4][PAGE_SIZE - 200 : 0 : -200])
        for record in records
    ]
    numbers = (nonces.count(nonces[0]), nonces[0], pages, 512, PAGE_SIZE)
    head = bytes.fromhex("d9d505f920a163d7") + b"".join(number.to_bytes(4, "big") for number in numbers)
    path.write_bytes(head + content[len(head) :])


def descriptors(path):
    """Return how many of this process's first descriptors are of a file."""
    count = 0
    for number in range(1024):
        with contextlib.suppress(OSError):
            count += os.path.samestat(os.fstat(number), path.stat())
    return count


def test_the_counter_is_the_files_and_every_commit_changes_it(folder, reader, writer):
    seen = []
    for number in range(5):
        add(writer, number)
        assert reader.change_counter() == (folder / "entries.sqlite3").read_bytes()[24:28]
        seen.append(reader.change_counter())
    assert len(set(seen)) == 5


def test_sqlite_is_not_asked_again_until_there_is_a_commit(reader, writer, asked):
    told = Commits(reader)
    first = look(reader, told)
    assert [told.last() for _ in range(10)] == [first] * 10
    assert len(asked) == 1
    add(writer)
    assert told.last() != first
    assert look(reader, told) == told.last()
    assert len(asked) == 3


def test_sqlite_is_asked_once_a_second_all_the_same(reader, asked, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(commits.time, "monotonic", lambda: now[0])
    told = Commits(reader)
    look(reader, told)
    for later, times in ((100.9, 1), (101.1, 2), (102.0, 2), (102.2, 3)):
        now[0] = later
        told.last()
        assert len(asked) == times


def test_in_a_transaction_it_takes_the_lock_and_what_is_read_is_of_that_commit(reader, writer):
    told = Commits(reader)
    found = look(reader, told)
    reader.execute("BEGIN")
    assert told.last() == found
    writer.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(sqlite3.OperationalError, match=r"^database is locked$"):
        add(writer)
    reader.execute("COMMIT")


def test_a_connections_own_commits_are_told_too(writer, asked):
    told = Commits(writer)
    first = look(writer, told)
    add(writer)
    second = look(writer, told)
    assert first != second == told.last()


def test_the_number_of_a_commit_that_is_undone_is_not_believed(folder, writer):
    """A killed writer leaves the next number in the file; undone, the next commit has it again."""
    path = folder / ENTRIES_FILE
    before = path.read_bytes()
    told = Commits(writer)
    look(writer, told)
    with contextlib.closing(connect_to_write(folder)) as other:
        add(other)
    dying = path.read_bytes()[24:28]
    put_head_back(folder / f"{ENTRIES_FILE}-journal", pages=len(before) // PAGE_SIZE)
    undone = told.last()
    assert path.read_bytes() == before
    with contextlib.closing(connect_to_write(folder)) as other:
        add(other)
    assert writer.change_counter() == dying
    assert told.last() != undone


def test_closing_a_reader_leaves_the_locks_of_a_writer(folder, writer):
    path = folder / ENTRIES_FILE
    other = connect_to_read(folder)
    assert other.change_counter() is not None
    writer.execute("BEGIN IMMEDIATE")
    add(writer)
    other.close()
    tried = subprocess.run([sys.executable, "-c", TRY_TO_WRITE, path], capture_output=True, text=True)
    assert tried.stdout == "database is locked\n"
    writer.execute("COMMIT")


def test_there_is_one_descriptor_more_until_the_last_connection_is_closed(folder):
    path = folder / ENTRIES_FILE
    connections = [connect_to_read(folder) for _ in range(3)]
    assert descriptors(path) == 3
    for connection in connections:
        connection.change_counter()
    assert descriptors(path) == 4
    for connection in connections[:2]:
        connection.close()
        connection.close()  # twice does no harm
    assert descriptors(path) >= 2
    connections[2].close()
    assert descriptors(path) == 0


def test_a_file_in_the_place_of_the_one_that_is_open_is_not_read(folder, reader):
    moved = folder / "moved"
    (folder / ENTRIES_FILE).rename(moved)
    (folder / ENTRIES_FILE).write_bytes(moved.read_bytes())
    assert reader.change_counter() is None


def test_a_file_that_cannot_be_opened_is_not_read(folder, reader):
    (folder / ENTRIES_FILE).unlink()
    assert reader.change_counter() is None


def test_a_system_without_pread_asks_sqlite(reader, writer, asked, monkeypatch):
    monkeypatch.delattr(os, "pread")
    told = Commits(reader)
    first = look(reader, told)
    assert told.last() == first
    assert len(asked) == 2
    add(writer)
    assert told.last() != first


def test_a_connection_can_only_be_closed_by_its_own_thread(reader):
    failures = []

    def close():
        try:
            reader.close()
        except sqlite3.ProgrammingError as error:
            failures.append(error)

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert len(failures) == 1
    assert reader.change_counter() is not None
