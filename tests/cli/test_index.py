"""`edgesim index`: what each action prints, and what it says about bad input."""

import json
import shutil
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.runtime import index as index_module
from edgesim.runtime.index import Index
from tests.helpers import TinyEncoder, photo, png, run_python, write_photos
from tests.runtime.index_entries import new_entries, new_entry, unit_vectors

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with three photos in `photos`."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 3)
    return tmp_path


@pytest.fixture
def parts(here: Path, tiny_bundle: Bundle, capsys: Captured) -> Path:
    """An index `parts` with the three photos."""
    assert main(["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]) == 0
    capsys.readouterr()
    return here / "parts"


def test_add_and_add_again(here: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    arguments = ["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]
    assert main(arguments) == 0
    assert capsys.readouterr() == ("parts: 3 added, 0 updated, 0 unchanged, 0 skipped; 3 entries\n", "")
    (here / "photos" / "0001.png").write_bytes(png(photo(9)))
    write_photos(here / "photos", 1, start=3)
    assert main(arguments) == 0
    assert capsys.readouterr() == ("parts: 1 added, 1 updated, 2 unchanged, 0 skipped; 4 entries\n", "")


def test_add_says_what_it_skips_and_goes_on(parts: Path, here: Path, capsys: Captured) -> None:
    (here / "text.jpg").write_text("no image")
    assert main(["index", "add", "parts", "text.jpg", "photos"]) == 0
    assert capsys.readouterr() == (
        "parts: 0 added, 0 updated, 3 unchanged, 1 skipped; 3 entries\n",
        f"skipped {here}/text.jpg: not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)\n",
    )


def test_add_as_json(here: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    (here / "photos" / "text.jpg").write_text("no image")
    assert main(["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder), "--json"]) == 0
    reason = "not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)"
    assert json.loads(capsys.readouterr().out) == {
        "index": "parts",
        "added": 3,
        "updated": 0,
        "unchanged": 0,
        "skipped": [{"path": f"{here}/photos/text.jpg", "reason": reason}],
        "entries": 3,
    }


def test_labels(parts: Path, here: Path, capsys: Captured) -> None:
    labels = ["--label", "line=3", "--label", "note=a=b", "--label", "empty="]
    assert main(["index", "add", "parts", "photos/0000.png", *labels]) == 0
    assert main(["index", "list", "parts"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "path" + " " * (len(str(here)) + 14) + "labels",
        f"{here}/photos/0000.png  empty= line=3 note=a=b",
        f"{here}/photos/0001.png",
        f"{here}/photos/0002.png",
    ]


@pytest.mark.parametrize("label", ["line", "=3", ""])
def test_a_label_that_is_none(parts: Path, capsys: Captured, label: str) -> None:
    assert main(["index", "add", "parts", "photos", "--label", label]) == 2
    assert capsys.readouterr() == ("", f"edgesim: --label: expected KEY=VALUE, got {label!r}\n")


def test_list_as_json(parts: Path, here: Path, capsys: Captured) -> None:
    assert main(["index", "list", "parts", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    with Index.open(parts) as index:
        assert entries == [vars(entry) for entry in index.entries()]
    assert [entry["path"] for entry in entries] == [f"{here}/photos/000{i}.png" for i in range(3)]


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


def test_stats(parts: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    main(["index", "add", "parts", "photos", "--label", "line=3"])
    main(["index", "add", "parts", "photos/0000.png", "--label", "line=4"])
    capsys.readouterr()
    size = (parts / "entries.sqlite3").stat().st_size
    assert main(["index", "stats", "parts"]) == 0
    assert capsys.readouterr().out == (
        "entries: 3\n"
        f"encoder: tiny-0 ({tiny_bundle.encoder_id}), 16 dimensions\n"
        f"bundle: {tiny_bundle.folder}\n"
        "search: exact\n"
        "search graph: not needed\n"
        "labels: line (3 entries, 2 values)\n"
        f"entries.sqlite3: {size} bytes\n"
    )
    assert main(["index", "stats", "parts", "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    with Index.open(parts) as index:
        assert stats == index.stats()


def test_a_large_index(here: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    assert index_module.EXACT_LIMIT == 10_000
    with Index.create(Path("parts"), tiny_bundle) as index:
        index.add(new_entries(unit_vectors(10_000)))
        index.add([new_entry("/photos/this one.png", TinyEncoder().embed(photo(0)))])
    # In a process of its own, where nobody listens to the log.
    query = ["-m", "edgesim", "query", here / "parts", here / "photos" / "0000.png", "-k", "1"]
    result = run_python(*query)
    assert result.stdout.splitlines()[1].endswith("  1     1.0000      /photos/this one.png")
    assert result.stderr == (
        f"{here}/parts: the search graph is missing, so 10001 entries are searched exactly; "
        f"for speed run: edgesim index rebuild {here}/parts\n"
    )
    assert main(["index", "rebuild", "parts"]) == 0
    assert capsys.readouterr() == ("parts: search graph of 10001 entries rebuilt\n", "")
    again = run_python(*query)
    assert (again.stdout, again.stderr) == (result.stdout, "")
    assert main(["index", "rebuild", "parts", "--recall", "0.9", "-k", "5", "--memory", "6.1"]) == 0
    out = capsys.readouterr().out
    with Index.open(Path("parts")) as index:
        measured = index.stats()["graph_settings"]["measured"]
    recall = (
        f"{measured:.4f} of the 5 nearest found (0.9 asked for, 500 searches among 10001 entries) with M 16, "
        "ef_construction 128, ef_search 16"
    )
    assert measured >= 0.9
    why = "the smallest that finds so much, with 5 MiB of memory"
    assert out == f"parts: search graph of 10001 entries rebuilt; {recall}: {why}\n"
    assert main(["index", "stats", "parts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3:7] == [
        "search: HNSW",
        "search graph: fresh, 5 MiB of memory",
        f"recall: {recall}",
        "labels: none",
    ]
    assert [line.split(":")[0] for line in lines[7:]] == ["entries.sqlite3", "graph.hnsw", "graph.json"]


def test_a_large_index_is_searched_before_its_graph_is_written(
    here: Path, tiny_bundle: Bundle, capsys: Captured
) -> None:
    with Index.create(Path("parts"), tiny_bundle) as index:
        index.add(new_entries(unit_vectors(10_001)))
        index.refresh_graph()
    before = Path("parts/graph.hnsw").stat().st_mtime_ns
    assert main(["index", "add", "parts", "photos"]) == 0
    assert main(["index", "remove", "parts", "/photos/00000.png"]) == 0
    capsys.readouterr()
    assert Path("parts/graph.hnsw").stat().st_mtime_ns == before
    assert main(["query", "parts", "photos/0000.png", "-k", "1"]) == 0
    out, err = capsys.readouterr()
    assert (out.split()[-2:], err) == (["1.0000", f"{here}/photos/0000.png"], "")
    assert main(["index", "stats", "parts"]) == 0
    assert "\nsearch graph: behind by 3 entries that came, 5 MiB of memory\n" in capsys.readouterr().out
    rebuild = ["index", "rebuild", "parts", "--recall", "0.5", "--profile", "pi-4b", "--json"]
    assert main(rebuild) == 0
    report = json.loads(capsys.readouterr().out)
    kept = report.pop("graph_settings")
    assert report == {"index": "parts", "entries": 10_003, "rebuilt": True}
    # The board's budget, less the peak of a query.
    assert (kept["m"], kept["memory_limit"]) == (16, (250 - 70) * 2**20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--memory", "50"], "--memory: for which recall? Name it too, as with --recall 0.99"),
        (["--profile", "pi-5"], "--profile: for which recall? Name it too, as with --recall 0.99"),
        (["--recall", "0.9", "--memory", "0"], "--memory: expected more than 0 MiB for the graph, got 0"),
        (["--recall", "0.9", "--memory", "nan"], "--memory: expected more than 0 MiB for the graph, got nan"),
    ],
)
def test_memory_that_cannot_be_allowed(options: list[str], message: str, capsys: Captured) -> None:
    assert main(["index", "rebuild", "parts", *options]) == 2
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")


def test_rebuild_of_a_small_index(parts: Path, capsys: Captured) -> None:
    assert main(["index", "rebuild", "parts"]) == 0
    assert capsys.readouterr() == ("parts: 3 entries are searched exactly and need no search graph\n", "")


@pytest.mark.parametrize("action", ["list", "stats", "rebuild"])
def test_no_index(here: Path, capsys: Captured, action: str) -> None:
    assert main(["index", action, "none"]) == 5
    message = "edgesim: none: no index there; make one with: edgesim index add none PATH\n"
    assert capsys.readouterr() == ("", message)


def test_no_such_file(parts: Path, capsys: Captured) -> None:
    assert main(["index", "add", "parts", "photos", "none.jpg"]) == 3
    assert capsys.readouterr() == ("", "edgesim: none.jpg: no such file or folder\n")


def test_a_folder_without_images(parts: Path, here: Path, capsys: Captured) -> None:
    (here / "empty").mkdir()
    (here / "empty" / "notes.txt").write_text("none here")
    assert main(["index", "add", "parts", "empty"]) == 3
    error = capsys.readouterr().err
    assert error.startswith("edgesim: empty: no images in this folder (looked for .jpg, ")
    assert error.count("\n") == 1


def truncated_jpeg() -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(photo(0, 64, 64)).save(stream, "JPEG")
    return stream.getvalue()[:-200]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no image", "not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)"),
        (png(photo(0)[:1, :1]), "1x1 pixels, too small to recognise (8x8 at least)"),
    ],
)
def test_nothing_usable(parts: Path, here: Path, capsys: Captured, content: bytes, reason: str) -> None:
    (here / "bad.jpg").write_bytes(content)
    assert main(["index", "add", "parts", "bad.jpg"]) == 3
    assert capsys.readouterr() == (
        "parts: 0 added, 0 updated, 0 unchanged, 1 skipped; 3 entries\n",
        f"skipped {here}/bad.jpg: {reason}\n"
        "edgesim: none of these images can be used; the reasons are above\n",
    )


def test_a_truncated_jpeg(parts: Path, here: Path, capsys: Captured) -> None:
    (here / "cut.jpg").write_bytes(truncated_jpeg())
    assert main(["index", "add", "parts", "cut.jpg"]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"skipped {here}/cut.jpg: damaged or unreadable image (")
    assert error.endswith(")\nedgesim: none of these images can be used; the reasons are above\n")


def test_an_index_made_by_another_encoder(
    parts: Path, tiny_bundle: Bundle, other_bundle: Bundle, capsys: Captured
) -> None:
    message = (
        f"edgesim: parts: made with {tiny_bundle.folder}, the encoder {tiny_bundle.title}, and "
        f"{other_bundle.folder} holds the encoder {other_bundle.title}, whose vectors cannot be compared; "
        "pass --encoder with the first, or make a new index with the second (they differ in weights)\n"
    )
    for arguments in (["index", "add", "parts", "photos"], ["query", "parts", "photos/0000.png"]):
        assert main([*arguments, "--encoder", str(other_bundle.folder)]) == 5
        assert capsys.readouterr() == ("", message)


def test_an_unknown_encoder(here: Path, capsys: Captured) -> None:
    assert main(["index", "add", "new", "photos", "--encoder", "simlar"]) == 4
    message = "simlar: no such folder, and not one of copy, similar; make a bundle with: edgesim export"
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")
    assert not Path("new").exists()


def test_a_built_in_name_wins_over_a_folder(
    here: Path, tiny_bundle: Bundle, other_bundle: Bundle, builtin_bundles: None, capsys: Captured
) -> None:
    shutil.copytree(other_bundle.folder, "copy")
    for index, encoder, remembered in (("one", "copy", "copy"), ("other", "./copy", str(here / "copy"))):
        assert main(["index", "add", index, "photos", "--encoder", encoder]) == 0
        capsys.readouterr()
        assert main(["index", "stats", index, "--json"]) == 0
        stats = json.loads(capsys.readouterr().out)
        made_by = tiny_bundle if encoder == "copy" else other_bundle
        assert (stats["bundle"], stats["encoder_id"]) == (remembered, made_by.encoder_id)


def test_an_index_of_similar_goes_on_with_it_and_refuses_copy(
    here: Path, tiny_bundle: Bundle, other_bundle: Bundle, builtin_bundles: None, capsys: Captured
) -> None:
    assert main(["index", "add", "seen", "photos", "--encoder", "similar"]) == 0
    assert main(["index", "add", "seen", "photos"]) == 0
    capsys.readouterr()
    assert main(["query", "seen", "photos/0000.png", "-k", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoder_id"] == other_bundle.encoder_id
    message = (
        f"edgesim: seen: made with similar, the encoder {other_bundle.title}, and copy holds the encoder "
        f"{tiny_bundle.title}, whose vectors cannot be compared; pass --encoder with the first, or make a "
        "new index with the second (they differ in weights)\n"
    )
    for arguments in (["index", "add", "seen", "photos"], ["query", "seen", "photos/0000.png"]):
        assert main([*arguments, "--encoder", "copy"]) == 5
        assert capsys.readouterr() == ("", message)


def test_an_unknown_engine(parts: Path, capsys: Captured) -> None:
    assert main(["index", "add", "parts", "photos", "--engine", "lite-rt"]) == 2
    assert capsys.readouterr() == ("", "edgesim: unknown engine 'lite-rt'; did you mean 'litert'?\n")


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


def test_export_import_and_merge(parts: Path, here: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    with Index.open(parts) as index:
        index.add([new_entry("/more.png", unit_vectors(1)[0])])
    for file, option in (("parts.npz", []), ("parts.h5", ["--unchecked"])):
        new = file.replace(".", "-")
        assert main(["index", "export", "parts", file]) == 0
        assert main(["index", "import", new, file, "--encoder", str(tiny_bundle.folder), *option]) == 0
        assert main(["index", "merge", new, "parts"]) == 0
        replaced = 4 if option else 0
        assert capsys.readouterr() == (
            f"{file}: 4 entries of parts\n"
            f"{new}: 4 added, 0 replaced, 0 kept as they were\n"
            f"{new}: 0 added, {replaced} replaced, {4 - replaced} kept as they were\n",
            "",
        )
        assert main(["query", new, "photos/0001.png", "-k", "1", "--json"]) == 0
        match = json.loads(capsys.readouterr().out)["queries"][0]["matches"][0]
        assert match["path"] == f"{here}/photos/0001.png"
    assert main(["index", "import", "parts", "parts.h5"]) == 2
    assert capsys.readouterr().err.startswith("edgesim: parts.h5: does not say which encoder made it; ")
