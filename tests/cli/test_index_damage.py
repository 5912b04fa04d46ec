"""`edgesim index verify` and `repair`: what they print, and their exit status."""

import json
import shutil
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.runtime.index import Index
from tests.helpers import ROOT, write_photos
from tests.runtime.index_entries import new_entries, unit_vectors

Captured = pytest.CaptureFixture[str]
VECTORS = unit_vectors(20)


@pytest.fixture
def parts(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index `parts` of 20 entries, calibrated, with a search graph."""
    monkeypatch.chdir(tmp_path)
    with Index.create(Path("parts"), tiny_bundle, exact_limit=10) as index:
        index.add(new_entries(VECTORS))
        index.set_setting("note", 1)
        index.refresh_graph()
    return tmp_path / "parts"


def overwrite(file: Path, old: bytes, new: bytes) -> None:
    """Put other bytes in the place of some that are there once."""
    content = file.read_bytes()
    assert content.count(old) == 1
    file.write_bytes(content.replace(old, new))


def test_an_intact_index(parts: Path, capsys: Captured) -> None:
    before = {path.name: path.read_bytes() for path in parts.iterdir()}
    assert main(["index", "verify", "parts"]) == 0
    assert capsys.readouterr() == ("parts: 20 entries are intact; search graph: fresh\n", "")
    assert main(["index", "verify", "parts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "index": "parts",
        "intact": True,
        "format_version": 2,
        "entries": 20,
        "graph": "fresh",
        "damage": [],
    }
    assert {path.name: path.read_bytes() for path in parts.iterdir()} == before


def test_a_graph_that_is_behind_is_no_damage(parts: Path, capsys: Captured) -> None:
    with Index.open(parts) as index:
        index.remove(["/photos/00003.png"])
    assert main(["index", "verify", "parts"]) == 0
    assert capsys.readouterr() == ("parts: 19 entries are intact; search graph: behind\n", "")


def test_a_damaged_vector_is_found_and_the_rest_is_saved(parts: Path, capsys: Captured) -> None:
    overwrite(parts / "entries.sqlite3", VECTORS[7].tobytes(), VECTORS[8].tobytes())
    damage = [
        "entries.sqlite3: entry 8 (/photos/00007.png) has not the vector that was written",
        "entries.sqlite3: the vectors are not those that were written",
        "graph.hnsw: not the search graph that was written for these entries",
    ]
    assert main(["index", "verify", "parts"]) == 5
    out, err = capsys.readouterr()
    assert out.splitlines()[:3] == ["parts: 19 entries are intact; search graph: fresh", *damage[:2]]
    assert err == (
        "edgesim: parts: damaged; restore it from a copy, or: edgesim index repair parts --out NEW\n"
    )
    assert main(["index", "verify", "parts", "--json"]) == 5
    found = json.loads(capsys.readouterr().out)
    assert (found["intact"], found["entries"], found["damage"]) == (False, 19, damage[:2])
    before = {path.name: path.read_bytes() for path in parts.iterdir()}
    assert main(["index", "repair", "parts", "--out", "saved"]) == 0
    assert capsys.readouterr() == (
        "lost entry 8, /photos/00007.png: it has not the vector that was written\n"
        "saved: 19 entries saved, 1 lost\n",
        "",
    )
    assert {path.name: path.read_bytes() for path in parts.iterdir()} == before
    assert main(["index", "verify", "saved"]) == 0
    assert capsys.readouterr().out == "saved: 19 entries are intact; search graph: not needed\n"
    with Index.open(Path("saved")) as index:
        assert [entry.entry_id for entry in index.entries()] == [*range(1, 8), *range(9, 21)]
        assert index.setting("note") == 1
        index.add(new_entries(VECTORS[7:8], 7))
        # No id is given again.
        assert index.find("/photos/00007.png").entry_id == 21


def test_a_damaged_graph_is_found_and_rebuilt(parts: Path, capsys: Captured) -> None:
    overwrite(parts / "graph.hnsw", VECTORS[7].tobytes(), VECTORS[8].tobytes())
    assert main(["index", "verify", "parts"]) == 5
    assert capsys.readouterr() == (
        "parts: 20 entries are intact; search graph: damaged\n"
        "graph.hnsw: not the search graph that was written for these entries\n",
        "edgesim: parts: damaged; restore it from a copy, or: edgesim index rebuild parts\n",
    )
    assert main(["index", "rebuild", "parts"]) == 0
    assert main(["index", "verify", "parts"]) == 0


def test_a_damaged_head_is_replaced(parts: Path, capsys: Captured) -> None:
    content = (parts / "entries.sqlite3").read_bytes()
    (parts / "entries.sqlite3").write_bytes(bytes(512) + content[512:])
    assert main(["index", "verify", "parts"]) == 5
    assert capsys.readouterr().out.splitlines()[1:] == [
        "entries.sqlite3: not an index of edgesim: file is not a database"
    ]
    assert main(["index", "repair", "parts", "--out", "saved"]) == 0
    assert capsys.readouterr().out == "saved: 20 entries saved, 0 lost\n"
    assert sorted(path.name for path in Path().iterdir()) == ["parts", "saved"]


def test_lost_settings_and_tally(parts: Path, capsys: Captured) -> None:
    # The setting's value and its neighbour, the row about all entries together.
    overwrite(parts / "entries.sqlite3", b"note1", b"note2")
    assert main(["index", "repair", "parts", "--out", "saved", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "index": "parts",
        "out": "saved",
        "saved": 20,
        "lost": [],
        "unnamed": 0,
        "lost_settings": True,
    }
    shutil.rmtree("saved")
    assert main(["index", "repair", "parts", "--out", "saved"]) == 0
    assert capsys.readouterr().out == (
        "settings may be lost; calibrate saved again if parts was calibrated\n"
        "saved: 20 entries saved, 0 lost\n"
    )


def test_an_index_that_does_not_know_its_encoder_any_more(
    parts: Path, tiny_bundle: Bundle, capsys: Captured
) -> None:
    overwrite(parts / "entries.sqlite3", b"encoder_nametiny-0", b"encoder_nametiny-1")
    assert main(["index", "repair", "parts", "--out", "saved"]) == 5
    assert "is damaged (table meta: encoder_name)" in capsys.readouterr().err
    assert not Path("saved").exists()
    encoder = str(tiny_bundle.folder)
    assert main(["index", "repair", "parts", "--out", "saved", "--encoder", encoder]) == 0
    assert capsys.readouterr().out == "saved: 20 entries saved, 0 lost\n"
    with Index.open(Path("saved"), tiny_bundle) as index:
        assert len(index) == 20


def test_an_index_of_which_nothing_is_left(parts: Path, capsys: Captured) -> None:
    content = (parts / "entries.sqlite3").read_bytes()
    (parts / "entries.sqlite3").write_bytes(b"x" * len(content))
    assert main(["index", "repair", "parts", "--out", "saved"]) == 5
    assert not Path("saved").exists()
    assert capsys.readouterr().err.startswith("edgesim: parts: entries.sqlite3 is")


def test_an_index_of_format_1(parts: Path, capsys: Captured) -> None:
    shutil.copytree(ROOT / "tests" / "golden" / "index_v1", "old")
    assert main(["index", "verify", "old"]) == 0
    assert capsys.readouterr().out == (
        "old: 7 entries are intact; search graph: not needed\n"
        "old: format 1, without checksums; the next command that writes to it, such as edgesim index "
        "rebuild old, adds them\n"
    )
    assert main(["index", "rebuild", "old"]) == 0
    assert main(["index", "verify", "old"]) == 0
    assert "format 1" not in capsys.readouterr().out


def test_no_index_and_one_in_the_way(parts: Path, capsys: Captured) -> None:
    for action in (["verify", "none"], ["repair", "none", "--out", "saved"]):
        assert main(["index", *action]) == 5
        message = "edgesim: none: no index there; make one with: edgesim index add none PATH\n"
        assert capsys.readouterr() == ("", message)
    shutil.copytree(parts, "saved")
    assert main(["index", "repair", "parts", "--out", "saved"]) == 5
    assert capsys.readouterr() == ("", "edgesim: saved: holds an index already\n")


def test_verify_after_adding_photos(parts: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    write_photos(Path("photos"), 3)
    assert main(["index", "add", "seen", "photos", "--encoder", str(tiny_bundle.folder)]) == 0
    assert main(["index", "verify", "seen"]) == 0
    assert capsys.readouterr().out.endswith("\nseen: 3 entries are intact; search graph: not needed\n")
