"""An index of format 1, as edgesim 0.1 wrote it: read as it is, migrated by the first that writes to it.

tests/golden/index_v1 is one, of a `TinyEncoder(0)`: seven entries, of which one was replaced and one removed.
"""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import DamagedIndexError, StorageError
from edgesim.runtime.entry import Entry
from edgesim.runtime.index import Index
from edgesim.runtime.repair import repair_index
from edgesim.runtime.verify import verify_index
from tests.helpers import ROOT
from tests.runtime.index_entries import new_entry, unit_vectors

VECTORS = unit_vectors(8)
# The number of the vector and the entry: path, SHA-256, size, time, labels.
ENTRIES = {
    1: (0, "/photos/0000.png", f"{0:064x}", 1000, 10**18, {}),
    2: (1, "/photos/0001.png", f"{1:064x}", 1001, 10**18 + 1, {"Größe": "L", "line": "1"}),
    4: (3, "/photos/0003.png", f"{3:064x}", 1003, 10**18 + 3, {"Größe": "L", "line": "0"}),
    5: (4, "/photos/0004.png", f"{4:064x}", 1004, 10**18 + 4, {}),
    6: (5, "/photos/0005.png", f"{5:064x}", 1005, 10**18 + 5, {"Größe": "L", "line": "2"}),
    8: (7, "/photos/0002.png", "ab" * 32, 5, 6, {}),
    9: (6, "/photos/caf\udce9.png", "0" * 64, 1, 1, {}),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "tests" / "golden" / "index_v1", tmp_path / "index"))


def check(index: Index) -> None:
    expected = [
        Entry(entry_id=i, path=path, sha256=sha256, size=size, mtime_ns=mtime_ns, labels=labels)
        for i, (_, path, sha256, size, mtime_ns, labels) in ENTRIES.items()
    ]
    assert index.entries() == expected
    ids, vectors = index.vectors()
    assert ids.tolist() == list(ENTRIES)
    np.testing.assert_array_equal(vectors, VECTORS[[facts[0] for facts in ENTRIES.values()]])
    assert index.search(VECTORS[7], 1)[0].path == "/photos/0002.png"
    assert index.find("/photos/0004.png") == expected[3]
    stats = index.stats()
    assert (stats["entries"], stats["generation"]) == (7, 4)
    assert stats["labels"] == {"Größe": {"entries": 3, "values": 1}, "line": {"entries": 3, "values": 3}}


def test_it_is_read_without_a_change(folder: Path, tiny_bundle: Bundle) -> None:
    before = (folder / "entries.sqlite3").read_bytes()
    with Index.open(folder, tiny_bundle, read_only=True) as index:
        check(index)
        assert index.setting("note") is None
    found = verify_index(folder)
    assert (found.format_version, found.entries, found.damage) == (1, 7, [])
    assert (folder / "entries.sqlite3").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["entries.sqlite3"]


def test_whoever_writes_migrates_it(folder: Path, tiny_bundle: Bundle) -> None:
    with Index.open(folder, tiny_bundle) as index:
        check(index)
        index.set_setting("note", [1])
        index.add([new_entry("/new.png", VECTORS[2])])
        # An id that was given to a removed entry is not given again.
        assert index.find("/new.png").entry_id == 10
        index.remove(["/new.png"])
    found = verify_index(folder)
    assert (found.format_version, found.entries, found.damage) == (2, 7, [])
    with Index.open(folder, tiny_bundle) as index:
        assert index.setting("note") == [1]
        assert len(index) == 7


def test_a_reader_does_not_mind_when_another_program_migrates_it(folder: Path) -> None:
    with Index.open(folder, read_only=True) as reader:
        check(reader)
        with Index.open(folder) as writer:
            check(reader)
            writer.add([new_entry("/new.png", VECTORS[2])])
            assert [match.path for match in reader.search(VECTORS[2], 1)] == ["/new.png"]
            assert len(reader) == 8


def test_an_empty_one(folder: Path) -> None:
    with sqlite3.connect(folder / "entries.sqlite3") as connection:
        connection.execute("DELETE FROM entries")
        connection.execute("DELETE FROM sqlite_sequence")
    connection.close()
    with Index.open(folder) as index:
        index.add([new_entry("/new.png", VECTORS[2])])
        assert [entry.entry_id for entry in index.entries()] == [1]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ("UPDATE entries SET vector = zeroblob(60) WHERE id = 5", "cannot reshape array of size 111"),
        ("UPDATE entries SET vector = 3 WHERE id = 5", "a bytes-like object is required, not 'int'"),
        (f"UPDATE entries SET vector = x'{'ff' * 64}' WHERE id = 5", "a vector is not of length 1"),
        ("UPDATE entries SET path = 3 WHERE id = 5", "expected str, bytes or os.PathLike object, not int"),
        ("DELETE FROM meta WHERE key = 'generation'", "'generation'"),
    ],
)
def test_a_damaged_one_is_not_migrated(folder: Path, change: str, detail: str) -> None:
    with sqlite3.connect(folder / "entries.sqlite3") as connection:
        connection.execute(change)
    connection.close()
    before = (folder / "entries.sqlite3").read_bytes()
    with pytest.raises(DamagedIndexError) as caught:
        Index.open(folder)
    assert detail in str(caught.value)
    assert (folder / "entries.sqlite3").read_bytes() == before


def test_opened_to_read_it_is_not_written_to(folder: Path) -> None:
    with Index.open(folder, read_only=True) as reader:
        with pytest.raises(StorageError) as caught:
            reader.add([new_entry("/new.png", VECTORS[2])])
        assert str(caught.value) == (
            f"{folder}: read-only, or not yours to write; make it writable and run the same command again "
            "(7 entries are committed)"
        )
        check(reader)


def test_repair_makes_one_of_the_present_format(folder: Path, tmp_path: Path) -> None:
    with sqlite3.connect(folder / "entries.sqlite3") as connection:
        connection.execute(f"UPDATE entries SET vector = x'{'ff' * 64}' WHERE id = 5")
    connection.close()
    repair = repair_index(folder, tmp_path / "saved")
    assert repair.saved == 6
    assert [(lost.entry_id, lost.path) for lost in repair.lost] == [(5, "/photos/0004.png")]
    assert verify_index(tmp_path / "saved").format_version == 2
