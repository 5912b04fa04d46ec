"""`edgesim index add`, `list` and `stats`: what each prints, and what it says about bad input."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.runtime.index import Index
from tests.helpers import photo, png, write_photos

Captured = pytest.CaptureFixture[str]


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
