"""`edgesim index remove`, `label` and `compact`: what they print, and what they say about bad input."""

from pathlib import Path

import pytest

from edgesim.cli.main import main
from edgesim.runtime.index import Index
from tests.runtime.index_entries import new_entries, unit_vectors

Captured = pytest.CaptureFixture[str]


def test_remove(parts: Path, capsys: Captured) -> None:
    assert main(["index", "remove", "parts", "photos/0001.png"]) == 0
    assert capsys.readouterr() == ("parts: 1 removed; 2 entries\n", "")
    assert main(["index", "remove", "parts", "photos"]) == 0
    assert capsys.readouterr() == ("parts: 2 removed; 0 entries\n", "")


def test_remove_what_is_not_there(parts: Path, here: Path, capsys: Captured) -> None:
    assert main(["index", "remove", "parts", "photos/0001.png", "photos/none.png"]) == 3
    assert capsys.readouterr() == (
        "",
        f"edgesim: {here}/photos/none.png: not in the index parts; nothing was changed. "
        "See: edgesim index list parts\n",
    )


def test_label_by_path_id_and_filter(parts: Path, here: Path, capsys: Captured) -> None:
    assert main(["index", "label", "parts", "photos/0000.png", "--id", "3", "--label", "line=3"]) == 0
    assert main(["index", "label", "parts", "--where", "line=3", "--label", "ok=1", "--drop", "line"]) == 0
    (here / "labels.csv").write_text('path,key,value\nphotos/0001.png,part,"a, b"\nphotos,all,yes\n')
    assert main(["index", "label", "parts", "--csv", "labels.csv"]) == 0
    assert capsys.readouterr() == (
        "parts: labels of 2 changed; 3 entries\n"
        "parts: labels of 2 changed; 3 entries\n"
        "parts: labels of 3 changed; 3 entries\n",
        "",
    )
    with Index.open(parts) as index:
        assert [entry.labels for entry in index.entries()] == [
            {"all": "yes", "ok": "1"},
            {"all": "yes", "part": "a, b"},
            {"all": "yes", "ok": "1"},
        ]
    assert main(["index", "list", "parts", "--where", "ok=1"]) == 0
    assert capsys.readouterr().out.count("all=yes ok=1\n") == 2
    assert main(["index", "remove", "parts", "photos", "--where", "not has ok"]) == 0
    assert main(["index", "remove", "parts", "--id", "1"]) == 0
    assert capsys.readouterr() == ("parts: 1 removed; 2 entries\nparts: 1 removed; 1 entries\n", "")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["label", "parts", "photos"], 2, "which labels? Name --label KEY=VALUE, --drop KEY or --csv FILE"),
        (
            ["label", "parts", "photos", "--csv", "labels.csv"],
            2,
            "--csv names entries and labels itself; leave out the other options",
        ),
        (
            ["label", "parts", "--csv", "labels.csv"],
            3,
            "labels.csv, line 2: expected a path and a key, got 'p' and ''",
        ),
        (
            ["remove", "parts"],
            2,
            "which entries? Name a PATH, an id (--id) or what labels must satisfy (--where)",
        ),
    ],
)
def test_a_change_that_is_none(
    parts: Path, here: Path, capsys: Captured, arguments: list[str], status: int, message: str
) -> None:
    (here / "labels.csv").write_text("path,key,value\np,,v\n")
    assert main(["index", *arguments]) == status
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")


def test_compact(parts: Path, capsys: Captured) -> None:
    with Index.open(parts) as index:
        index.add(new_entries(unit_vectors(100)))
        index.remove(["/photos"])
    before = (parts / "entries.sqlite3").stat().st_size
    assert main(["index", "compact", "parts"]) == 0
    after = (parts / "entries.sqlite3").stat().st_size
    assert after < before / 2
    assert capsys.readouterr() == (
        f"parts: {before} bytes before, {after} after, {before - after} saved\n",
        "",
    )
