"""Indexes that are missing, foreign, damaged, busy, interrupted or read-only: each with its message."""

import dataclasses
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import DamagedIndexError, EncoderMismatchError, IndexStoreError, StorageError
from edgesim.runtime import database
from edgesim.runtime.digests import digest
from edgesim.runtime.index import Index
from tests.runtime.index_entries import new_entries, new_entry, unit_vectors

VECTORS = unit_vectors(40)


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


def damaged(folder: Path, detail: str) -> str:
    return (
        f"{folder}: entries.sqlite3 is damaged ({detail}); restore it from a copy, or save what can be saved "
        f"with: edgesim index repair {folder} --out NEW"
    )


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
        "pass --encoder with the first, or make a new index with the second (they differ in weights)"
    )


@pytest.mark.parametrize(
    ("fact", "difference"),
    [
        ({"preprocess_version": 2}, "preprocess_version: 1 and 2"),
        ({"embedding_dim": 8}, "embedding_dim: 16 and 8"),
        ({"input_size": 64, "std": (1.0, 1.0, 1.0)}, "input_size: 32 and 64, std: [0.229, 0.224, 0.225] and"),
        ({"name": "tiny-2"}, "weights"),
    ],
)
def test_what_two_encoders_differ_in_is_named(
    folder: Path, tiny_bundle: Bundle, fact: dict[str, Any], difference: str
) -> None:
    spec = dataclasses.replace(tiny_bundle.spec, **fact)
    other = dataclasses.replace(tiny_bundle, spec=spec, encoder_id=spec.encoder_id("seed 0"))
    with pytest.raises(EncoderMismatchError) as caught:
        Index.open(folder, other)
    assert f"with the second (they differ in {difference}" in str(caught.value)


def test_another_format_version(folder: Path, connection: sqlite3.Connection) -> None:
    row = ("7", digest("format_version", "7"))
    connection.execute("UPDATE meta SET value = ?, digest = ? WHERE key = 'format_version'", row)
    assert error_of(folder) == (
        f"{folder}: index format 7, this edgesim reads formats 1 and 2; make the index again, or install the "
        "matching edgesim"
    )


def test_no_database(folder: Path) -> None:
    (folder / "entries.sqlite3").write_bytes(b"no database" * 100)
    message = f"{folder}: entries.sqlite3 is not an index of edgesim (file is not a database)"
    assert error_of(folder) == message


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
        (3_000, "database disk image is malformed"),
        (8_192, "database disk image is malformed"),
        (-512, "database disk image is malformed"),
        (-1, "cut off"),
    ],
)
def test_truncated(folder: Path, left: int, detail: str) -> None:
    path = folder / "entries.sqlite3"
    path.write_bytes(path.read_bytes()[:left])
    assert error_of(folder) == damaged(folder, detail)


def test_another_vector_than_was_written(folder: Path, connection: sqlite3.Connection) -> None:
    for blob, detail in [
        (VECTORS[6].tobytes(), "the vectors are not those that were written"),
        (3, "a bytes-like object is required, not 'int'"),
    ]:
        connection.execute("UPDATE entries SET vector = ? WHERE id = 5", (blob,))
        with Index.open(folder) as index, pytest.raises(DamagedIndexError) as caught:
            index.search(VECTORS[0], 1)
        assert (str(caught.value), caught.value.detail) == (damaged(folder, detail), detail)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET path = '/photos/0000x.png' WHERE id = 5",
        "UPDATE entries SET sha256 = '1' WHERE id = 5",
        "UPDATE entries SET size = 2 WHERE id = 5",
        "UPDATE entries SET mtime_ns = mtime_ns + 1 WHERE id = 5",
        "UPDATE entries SET vector_digest = vector_digest + 1 WHERE id = 5",
        "UPDATE labels SET value = '4' WHERE entry_id = 5",
        "DELETE FROM labels WHERE entry_id = 5",
        "INSERT INTO labels VALUES (5, 'more', 'x')",
    ],
)
def test_another_fact_than_was_written(folder: Path, connection: sqlite3.Connection, change: str) -> None:
    with Index.open(folder) as index:
        index.add([new_entry("/photos/00004.png", None, labels={"line": "3"})])
    connection.execute(change)
    with Index.open(folder, read_only=True) as index:
        for read in (index.entries, index.stats):
            with pytest.raises(DamagedIndexError) as caught:
                read()
            assert str(caught.value) == damaged(folder, "entry 5")


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ("DELETE FROM entries WHERE id = 5", "the vectors are not those that were written"),
        ("UPDATE tally SET entries = 39", "table tally"),
        ("DELETE FROM tally", "table tally"),
    ],
)
def test_what_is_known_of_all_entries_together(
    folder: Path, connection: sqlite3.Connection, change: str, detail: str
) -> None:
    connection.execute(change)
    with Index.open(folder) as index, pytest.raises(DamagedIndexError) as caught:
        index.search(VECTORS[0], 1)
    assert str(caught.value) == damaged(folder, detail)


def test_a_setting_that_was_not_written(folder: Path, connection: sqlite3.Connection) -> None:
    with Index.open(folder) as index:
        index.set_setting("note", {"lower": 0.5})
        assert index.setting("note") == {"lower": 0.5}
        assert index.setting("other") is None
        for change in ("UPDATE settings SET value = '{}'", "DELETE FROM settings"):
            connection.execute(change)
            with pytest.raises(DamagedIndexError) as caught:
                index.setting("note")
            assert str(caught.value) == damaged(folder, "table settings")


def test_another_fact_about_the_encoder(folder: Path, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET value = '{}' WHERE key = 'spec'")
    assert error_of(folder) == damaged(folder, "table meta: spec")
    connection.execute("UPDATE meta SET digest = ? WHERE key = 'spec'", (digest("spec", "{}"),))
    assert error_of(folder) == damaged(folder, "table meta: model spec lacks the key 'name'")


def test_damage_that_would_break_the_line(folder: Path, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET key = 'sp\nec' WHERE key = 'spec'")
    assert error_of(folder) == damaged(folder, "table meta: sp?ec")


def test_another_table_than_was_made(folder: Path, connection: sqlite3.Connection) -> None:
    connection.execute("CREATE INDEX more ON entries (size)")
    assert error_of(folder) == damaged(folder, "its tables are not those of an index")


def test_a_path_that_sqlite_does_not_find_any_more(folder: Path, connection: sqlite3.Connection) -> None:
    path = b"/photos/00004.png"
    connection.close()
    file = folder / "entries.sqlite3"
    content = file.read_bytes()
    # In the table of paths, where the id follows the path, and not in the entry.
    (place,) = [i for i in range(len(content)) if content.startswith(path + b"\x05", i)]
    file.write_bytes(content[:place] + b"X" + content[place + 1 :])
    with Index.open(folder) as index:
        for use in (
            lambda: index.find("/photos/00004.png"),
            lambda: index.add([new_entry("/photos/00004.png", VECTORS[0])]),
            lambda: index.remove(["/photos/00004.png"]),
        ):
            with pytest.raises(DamagedIndexError) as caught:
                use()
            assert str(caught.value) == damaged(folder, "the table of paths")


def test_use_in_another_thread_is_a_defect_and_no_damage(folder: Path) -> None:
    with Index.open(folder) as index, ThreadPoolExecutor() as pool:
        result = pool.submit(len, index)
        with pytest.raises(sqlite3.ProgrammingError):
            result.result()


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
