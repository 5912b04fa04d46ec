"""Entries as Parquet: what pyarrow itself reads, and what it writes; in parts; nothing malformed gets in."""

import contextlib
import dataclasses
import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.errors import DamagedIndexError, InputError, UsageError
from edgesim.runtime import descriptor_parquet
from edgesim.runtime.descriptor_files import read_file, write_file
from edgesim.runtime.index import Index
from edgesim.runtime.merging import import_file
from tests.helpers import DIM
from tests.runtime.index_entries import new_entries, new_entry, unit_vectors
from tests.runtime.test_exchange import content, make, refused_when_damaged

VECTORS = unit_vectors(5)
ENTRIES = [
    new_entry("/a/ä.png", VECTORS[0], labels={"Größe": "ä 'b'", "": "x"}, mtime_ns=2**62, size=2**40),
    new_entry("/a/1.png", VECTORS[1], sha256="ab" * 32),
    new_entry("/a/2.png", VECTORS[2], labels={"line": "3", "": ""}),
    new_entry("/a/3.png", VECTORS[3]),
]


@pytest.fixture
def parts(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    folder = make(tmp_path / "parts", tiny_bundle, ENTRIES)
    with Index.open(folder) as index:
        index.remove(["/a/1.png"])
        index.add([new_entry("/a/4.png", VECTORS[4], labels={"line": "4"})])
    return folder


@pytest.fixture
def exported(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(descriptor_parquet, "_PART", 3)
    with Index.open(parts, read_only=True) as index:
        assert write_file(tmp_path / "parts.parquet", index._store) == 4
    return tmp_path / "parts.parquet"


def test_what_another_program_reads(exported: Path, tiny_bundle: Bundle) -> None:
    table = parquet.read_table(exported)
    text, number = pa.string(), pa.int64()
    columns = {"id": number, "path": text, "sha256": text, "size": number, "mtime_ns": number}
    columns |= {
        "label.": text,
        "label.Größe": text,
        "label.line": text,
        "vector": pa.list_(pa.float32(), DIM),
    }
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == columns
    assert table["id"].to_pylist() == [1, 3, 4, 5]
    assert table["path"].to_pylist() == ["/a/ä.png", "/a/2.png", "/a/3.png", "/a/4.png"]
    assert table["sha256"].to_pylist() == ["0" * 64] * 4
    assert table["size"].to_pylist() == [2**40, 1, 1, 1]
    assert table["mtime_ns"].to_pylist() == [2**62, 1, 1, 1]
    assert table["label."].to_pylist() == ["x", "", None, None]
    assert table["label.Größe"].to_pylist() == ["ä 'b'", None, None, None]
    assert table["label.line"].to_pylist() == [None, "3", None, "4"]
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), VECTORS[[0, 2, 3, 4]])
    file = parquet.ParquetFile(exported)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 1]
    assert json.loads(table.schema.metadata[b"edgesim"]) == {
        "format": "edgesim descriptors 1",
        "encoder_id": tiny_bundle.encoder_id,
        "encoder_name": "tiny-0",
        "key_model": None,
    }


def test_there_and_back(parts: Path, exported: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    report = import_file(tmp_path / "new", exported, str(tiny_bundle.folder))
    assert vars(report) == {"added": 4, "replaced": 0, "kept": 0}
    assert content(tmp_path / "new") == content(parts)
    assert vars(import_file(tmp_path / "new", exported)) == {"added": 0, "replaced": 0, "kept": 4}


def test_an_empty_index(tmp_path: Path, tiny_bundle: Bundle) -> None:
    make(tmp_path / "empty", tiny_bundle, [])
    with Index.open(tmp_path / "empty", read_only=True) as index:
        assert write_file(tmp_path / "empty.parquet", index._store) == 0
    assert read_file(tmp_path / "empty.parquet").dim == DIM
    assert vars(import_file(tmp_path / "empty", tmp_path / "empty.parquet"))["added"] == 0


def test_a_row_group_of_any_size_is_read_in_parts(exported: Path) -> None:
    table = parquet.read_table(exported)
    many = pa.concat_tables([table] * 5)
    paths = pa.array([f"/many/{number}" for number in range(len(many))])
    parquet.write_table(many.set_column(1, "path", paths), exported)
    assert parquet.ParquetFile(exported).num_row_groups == 1
    found = read_file(exported)
    assert [len(part) for part in found.parts] == [3] * 6 + [2]
    assert [entry.path for part in found.parts for entry in part] == paths.to_pylist()


def test_another_program_s_file(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("theirs").mkdir()
    columns = {
        "note": [1, 2],
        "path": pa.array(["a.png", "/b.png"]).dictionary_encode(),
        "vector": pa.array(VECTORS[:2].tolist(), pa.list_(pa.float32())),
        "label.line": pa.array(["3", None], pa.large_string()),
    }
    parquet.write_table(pa.table(columns), "theirs.parquet")
    with pytest.raises(UsageError, match=r"^theirs.parquet: does not say which encoder made it; pass"):
        import_file(Path("new"), Path("theirs.parquet"), str(tiny_bundle.folder))
    import_file(Path("new"), Path("theirs.parquet"), str(tiny_bundle.folder), unchecked=True)
    assert content(Path("new")) == {
        f"{tmp_path}/a.png": ("0" * 64, 0, 0, {"line": "3"}, VECTORS[0].tobytes()),
        "/b.png": ("0" * 64, 0, 0, {}, VECTORS[1].tobytes()),
    }


def lists(rows: list[list[float | None] | None], kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(rows, kind or pa.list_(pa.float32()))


Change = Callable[[pa.Table], pa.Table]


def with_column(name: str, values: Any) -> Change:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index(name), name, values)

    return change


NAN = VECTORS[:4].tolist()
NAN[1][1] = float("nan")
UNEVEN = [[1.0], *VECTORS[:3].tolist()]
NULL = [*VECTORS[:3].tolist(), None]
NULL_NUMBER = [*VECTORS[:3].tolist(), [None, *[1.0] * (DIM - 1)]]
EACH = "vector: expected as many numbers in each row, and no nulls"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            with_column("vector", lists(NAN)),
            "expected vectors of length 1, got others; divide each by its length",
        ),
        (
            with_column("vector", lists((2 * VECTORS[:4]).tolist())),
            "expected vectors of length 1, got others; divide each by its length",
        ),
        (with_column("vector", lists(UNEVEN)), EACH),
        (with_column("vector", lists(NULL)), EACH),
        (with_column("vector", lists(NULL_NUMBER)), EACH),
        (with_column("vector", lists([[]] * 4)), EACH),
        (
            with_column("vector", lists(VECTORS[:4].tolist(), pa.list_(pa.float64()))),
            "vector: expected lists of float32, got list<",
        ),
        (with_column("vector", pa.array([1.0] * 4)), "vector: expected lists of float32, got double"),
        (lambda table: table.drop(["path"]), "no column path among id, sha256, size, mtime_ns, label., "),
        (lambda table: table.select(["id"]), "no column path and vector among id"),
        (lambda table: table.append_column("path", table["path"]), "two columns of one name"),
        (with_column("path", pa.array(["/a", "/b", "/c", "/a"])), "expected each path once, got '/a' twice"),
        (
            with_column("path", pa.array(["/a", "/b", None, "/d"])),
            "path: expected a value in each row, got null",
        ),
        (with_column("path", pa.array(["/a", "", "/c", "/d"])), "a path is empty"),
        (with_column("sha256", pa.array(["x"] * 4)), "sha256: expected 64 digits, got 1"),
        (with_column("size", pa.array(["many"] * 4)), "Failed to parse string: 'many'"),
        (
            lambda table: table.replace_schema_metadata({"edgesim": '{"format": "other"}'}),
            "its format is not 'edgesim descriptors 1'",
        ),
        (
            lambda table: table.replace_schema_metadata({"edgesim": '{"format": "edgesim descriptors 1"}'}),
            "expected descriptors as edgesim exports them ('key_model')",
        ),
        (lambda table: table.replace_schema_metadata({"edgesim": "{"}), "expected descriptors as edgesim"),
    ],
)
def test_a_table_that_is_none(exported: Path, change: Change, message: str) -> None:
    parquet.write_table(change(parquet.read_table(exported)), exported)
    with pytest.raises(InputError) as caught:
        read_file(exported)
    assert str(caught.value).startswith(f"{exported}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_of_another_size(exported: Path) -> None:
    table = parquet.read_table(exported)
    rows = [*VECTORS[:3].tolist(), [1.0, 0.0]]
    parquet.write_table(with_column("vector", lists(rows))(table), exported)
    with pytest.raises(InputError, match=r"vector: expected 16 numbers in each row, got 2\)$"):
        read_file(exported)


def test_vectors_of_another_size(exported: Path, parts: Path) -> None:
    wide = np.eye(4, DIM + 1, dtype=np.float32)
    parquet.write_table(with_column("vector", lists(wide.tolist()))(parquet.read_table(exported)), exported)
    before = content(parts)
    with pytest.raises(InputError, match=r"expected vectors of 16 numbers, got 17; describe the images with"):
        import_file(parts, exported)
    assert content(parts) == before


def test_a_damaged_file_is_refused_in_one_line(exported: Path) -> None:
    assert refused_when_damaged(exported, 300) > 150
    with pytest.raises(InputError, match=r"none.parquet: cannot be read \(no such file\)$"):
        read_file(exported.with_name("none.parquet"))


def test_a_failed_export_leaves_what_was_there(
    parts: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported.read_bytes()
    latin_1 = b"/b/caf\xe9.png".decode("utf-8", "surrogateescape")
    with Index.open(parts) as index:
        index.add([new_entry(latin_1, VECTORS[1])])
        with pytest.raises(InputError, match=r"Parquet takes names in UTF-8, not .*; export as \.npz$"):
            write_file(exported, index._store)
        index.remove([latin_1])
        index.add(new_entries(VECTORS))
    # A vector that is found damaged only when the last part has been written.
    database = parts / "entries.sqlite3"
    stored = database.read_bytes()
    # Half a turn of a sign keeps its length.
    place = stored.index(VECTORS[4].tobytes()[-4:]) + 3
    database.write_bytes(stored[:place] + bytes([stored[place] ^ 0x80]) + stored[place + 1 :])
    with Index.open(parts, read_only=True) as index, pytest.raises(DamagedIndexError):
        write_file(exported, index._store)
    assert exported.read_bytes() == before
    assert {path.name for path in exported.parent.iterdir()} == {"parts", "parts.parquet"}


def test_parts_are_all_entries_and_their_vectors(parts: Path) -> None:
    with Index.open(parts, read_only=True) as index:
        found = list(index._store.parts(3))
        assert [len(entries) for entries, _ in found] == [3, 1]
        assert [entry for entries, _ in found for entry in entries] == index.entries()
        np.testing.assert_array_equal(np.concatenate([vectors for _, vectors in found]), index.vectors()[1])


def test_an_entry_from_before_a_change_is_told_at_the_end(parts: Path) -> None:
    change = "UPDATE entries SET mtime_ns = ?, facts_digest = ? WHERE path = ?"
    path = b"/a/4.png"
    with contextlib.closing(sqlite3.connect(parts / "entries.sqlite3")) as database:
        before = database.execute("SELECT mtime_ns, facts_digest FROM entries WHERE path = ?", (path,))
        row = before.fetchone()
        with Index.open(parts) as index:
            index.add([dataclasses.replace(new_entry("/a/4.png", None), mtime_ns=row[0] + 1)])
        with database:
            database.execute(change, (*row, path))
    with Index.open(parts, read_only=True) as index:
        found = index._store.parts(3)
        next(found)
        next(found)  # in itself it is intact
        with pytest.raises(DamagedIndexError, match="the entries are not those that were written"):
            next(found)


def test_the_commands(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["index", "export", "parts", "parts.parquet"]) == 0
    assert main(["index", "import", "parts", "parts.parquet"]) == 0
    assert capsys.readouterr() == (
        "parts.parquet: 4 entries of parts\nparts: 0 added, 0 replaced, 4 kept as they were\n",
        "",
    )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for command in (["export", "parts", "new.parquet"], ["import", "parts", "parts.parquet"]):
        assert main(["index", *command]) == 6
        assert capsys.readouterr().err == (
            "edgesim: a Parquet file needs the package pyarrow, which is not installed. "
            "Run: pip install 'edgesim[parquet]'\n"
        )
