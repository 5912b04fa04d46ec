"""Indexes that are missing, foreign, damaged, busy, interrupted or read-only: each with its message."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import EdgesimError, EncoderMismatchError, IndexStoreError, StorageError
from edgesim.runtime import database
from edgesim.runtime.index import Index
from tests.runtime.index_entries import new_entries, new_entry, unit_vectors

VECTORS = unit_vectors(40)
DAMAGED = "restore it from a copy, or make a new index"


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A closed index with 40 entries."""
    with Index.create(tmp_path / "index", tiny_bundle) as index:
        index.add(new_entries(VECTORS))
    return tmp_path / "index"


@pytest.fixture
def connection(folder: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection."""
    connection = sqlite3.connect(folder / "entries.sqlite3", isolation_level=None)
    yield connection
    connection.close()


def error_of(folder: Path, bundle: Bundle | None = None, read_only: bool = True) -> str:
    with pytest.raises(IndexStoreError) as caught:
        Index.open(folder, bundle, read_only)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("read_only", [True, False])
def test_no_index(tmp_path: Path, read_only: bool) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        assert error_of(folder, None, read_only) == (
            f"{folder}: no index there; make one with: edgesim index add {folder} PATH"
        )
    assert list(tmp_path.iterdir()) == []


def test_another_encoder(folder: Path, tiny_bundle: Bundle, other_bundle: Bundle) -> None:
    with pytest.raises(EncoderMismatchError) as caught:
        Index.open(folder, other_bundle)
    assert str(caught.value) == (
        f"{folder}: made with {tiny_bundle.folder}, the encoder {tiny_bundle.title}, and "
        f"{other_bundle.folder} holds the encoder {other_bundle.title}, whose vectors cannot be compared; "
        "pass --encoder with the first, or make a new index with the second"
    )


def test_another_format_version(folder: Path, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET value = '7' WHERE key = 'format_version'")
    assert error_of(folder) == (
        f"{folder}: index format 7, this edgesim reads format 1; make the index again, or install the "
        "matching edgesim"
    )


def test_no_database(folder: Path) -> None:
    (folder / "entries.sqlite3").write_bytes(b"no database" * 100)
    assert (
        error_of(folder) == f"{folder}: entries.sqlite3 is not an index of edgesim (file is not a database)"
    )


def test_a_database_of_another_program(folder: Path, tiny_bundle: Bundle) -> None:
    (folder / "entries.sqlite3").unlink()
    with sqlite3.connect(folder / "entries.sqlite3") as other:
        other.execute("CREATE TABLE holidays (day)")
    other.close()
    assert error_of(folder) == f"{folder}: entries.sqlite3 is not an index of edgesim (no such table: meta)"
    with pytest.raises(IndexStoreError, match="holds an index already"):
        Index.create(folder, tiny_bundle)


@pytest.mark.parametrize(
    ("left", "detail"),
    [
        (3_000, "is damaged (database disk image is malformed)"),
        (8_192, "is damaged (database disk image is malformed)"),
        (-4_096, "is damaged (database disk image is malformed)"),
        (-1, "is damaged (cut off)"),
    ],
)
def test_truncated(folder: Path, left: int, detail: str) -> None:
    path = folder / "entries.sqlite3"
    path.write_bytes(path.read_bytes()[:left])
    cure = f"; {DAMAGED}" if "damaged" in detail else ""
    assert error_of(folder) == f"{folder}: entries.sqlite3 {detail}{cure}"


def test_a_vector_that_is_none(folder: Path, connection: sqlite3.Connection) -> None:
    for blob, detail in [
        (b"\x00" * 60, "vectors: cannot reshape array of size 639 into shape (40,16)"),
        (b"\xff" * 64, "a vector is not of length 1"),
        (3, "vectors: sequence item 4: expected a bytes-like object, int found"),
    ]:
        connection.execute("UPDATE entries SET vector = ? WHERE id = 5", (blob,))
        with Index.open(folder) as index, pytest.raises(IndexStoreError) as caught:
            index.search(VECTORS[0], 1)
        assert str(caught.value) == f"{folder}: entries.sqlite3 is damaged ({detail}); {DAMAGED}"


def test_meta_that_makes_no_sense(folder: Path, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET value = '{}' WHERE key = 'spec'")
    assert error_of(folder) == (
        f"{folder}: entries.sqlite3 is damaged (table meta: model spec lacks the key 'name'); {DAMAGED}"
    )


def test_any_flipped_bit_or_cut_ends_in_an_answer_or_an_error_of_ours(folder: Path) -> None:
    path = folder / "entries.sqlite3"
    intact = path.read_bytes()
    chance = random.Random(0)
    answers, errors = 0, []
    for trial in range(400):
        damaged = bytearray(intact)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged if trial % 4 else damaged[: chance.randrange(len(damaged))])
        try:
            with Index.open(folder, read_only=True) as index:
                assert len(index.search(VECTORS[0], 5)) == 5
                index.entries()
                index.stats()
            answers += 1
        except EdgesimError as error:
            errors.append(str(error))
    assert all(error.startswith(f"{folder}: ") and "\n" not in error for error in errors)
    assert min(answers, len(errors)) > 50


def test_what_a_killed_creation_left_is_taken_over(tmp_path: Path, tiny_bundle: Bundle) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "entries.sqlite3").write_bytes(b"")
    assert "no index there" in error_of(folder)
    with Index.create(folder, tiny_bundle) as index:
        index.add([new_entry("/a", VECTORS[0])])
        assert len(index) == 1


def test_create_refuses_an_index_and_a_file(folder: Path, tiny_bundle: Bundle) -> None:
    with pytest.raises(IndexStoreError) as caught:
        Index.create(folder, tiny_bundle)
    assert str(caught.value) == f"{folder}: holds an index already"
    file = folder / "entries.sqlite3"
    with pytest.raises(IndexStoreError) as caught:
        Index.create(file, tiny_bundle)
    assert str(caught.value) == f"{file}: is a file, and an index is a folder; name another"
    with pytest.raises(StorageError) as failed:
        Index.create(file / "below", tiny_bundle)
    assert str(failed.value) == f"{file / 'below'}: cannot be written (Not a directory)"


def test_another_writer(
    folder: Path, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    connection.execute("BEGIN IMMEDIATE")
    with Index.open(folder) as index:
        with pytest.raises(IndexStoreError) as caught:
            index.add([new_entry("/a", VECTORS[0])])
        assert str(caught.value) == (
            f"{folder}: another program is writing to this index; run the command again when it is done"
        )
        # Reading goes on, and so does writing afterwards.
        assert len(index.search(VECTORS[0], 5)) == 5
        connection.execute("ROLLBACK")
        index.add([new_entry("/a", VECTORS[0])])
        assert len(index) == 41


def test_two_writers_take_turns(folder: Path) -> None:
    with Index.open(folder) as first, Index.open(folder) as second:
        first.add([new_entry("/a", VECTORS[0]), new_entry("/b", VECTORS[1])])
        second.add([new_entry("/a", VECTORS[2])])
        first.add([new_entry("/c", VECTORS[3])])
        assert [entry.path for entry in second.entries()][-3:] == ["/b", "/a", "/c"]


def interrupted_copy(folder: Path) -> Path:
    """Copy an index as a writer leaves it that is killed amid a commit."""
    with Index.open(folder) as index:
        connection = index._store._connection
        connection.execute("PRAGMA cache_size = 1")  # so that changes reach the file before the commit
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE entries SET sha256 = 'half of a commit'")
        copy = folder.with_name("interrupted")
        shutil.copytree(folder, copy)
        connection.execute("ROLLBACK")
    assert (copy / "entries.sqlite3-journal").stat().st_size > 0
    with sqlite3.connect(f"file:{copy}/entries.sqlite3?immutable=1", uri=True) as raw:
        assert raw.execute("SELECT count(*) FROM entries WHERE sha256 LIKE 'half%'").fetchone()[0] > 0
    raw.close()
    return copy


@pytest.mark.parametrize("read_only", [True, False])
def test_half_of_a_commit_is_undone(folder: Path, read_only: bool) -> None:
    copy = interrupted_copy(folder)
    with Index.open(copy, read_only=read_only) as index:
        assert {entry.sha256 for entry in index.entries()} == {"0" * 64}
        assert len(index.search(VECTORS[0], 50)) == 40


def test_a_query_writes_nothing(folder: Path) -> None:
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    folder_time = folder.stat().st_mtime_ns
    with Index.open(folder, read_only=True) as index:
        index.search(VECTORS[0], 5)
        index.stats()
        with pytest.raises(StorageError) as caught:
            index.add([new_entry("/a", VECTORS[0])])
        assert str(caught.value) == (
            f"{folder}: read-only, or not yours to write; make it writable and run the same command again "
            "(40 entries are committed)"
        )
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    assert folder.stat().st_mtime_ns == folder_time
