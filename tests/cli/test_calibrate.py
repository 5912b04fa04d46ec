"""edgesim calibrate: what it prints, keeps and refuses, and what queries print afterwards."""

import json
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.runtime.index import Index
from edgesim.thresholds import Calibration
from tests.helpers import write_photos
from tests.runtime.known_photos import photo_index

Captured = pytest.CaptureFixture[str]
# Rates that 20 images can show.
LOOSE = ["--false-alarms", "0.3", "--misses", "0.2"]


@pytest.fixture
def here(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    photo_index(tmp_path, tiny_bundle, 20).rename(tmp_path / "parts")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kept() -> Calibration:
    with Index.open(Path("parts"), read_only=True) as index:
        return Calibration.from_dict(index.setting("calibration")["thresholds"])


def test_text_page_and_verdicts(here: Path, capsys: Captured) -> None:
    assert main(["calibrate", "parts", "--augment", *LOOSE, "--out", "report"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = kept().thresholds
    lines = out.splitlines()
    assert lines[0] == (
        "parts: from edited copies of 20 of its images, and 20 of its images looked up among the others"
    )
    assert lines[1].startswith(f"parts: match from {found.upper:.4f} on; no match below {found.lower:.4f}; ")
    assert lines[2].startswith("parts: false alarms: 0 of 20 queries without a match are called a match, ")
    assert lines[4:] == ["parts: page: report/calibration.html"]
    page = (here / "report" / "calibration.html").read_text()
    assert f"match from {found.upper:.4f} on" in page
    assert main(["query", "parts", "photos/0003.png", "-k", "20", "--verdict"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["query", "rank", "similarity", "verdict", "path", "labels"]
    for row in rows[1:]:
        similarity, verdict = float(row[2]), " ".join(row[3:-1])
        expected = "match" if similarity >= found.upper else "unsure"
        assert verdict == ("no match" if similarity < found.lower else expected)
        assert row[-1].startswith(f"{here}/photos/")
    assert rows[1][3] == "match"


def test_json(here: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    assert main(["calibrate", "parts", "--augment", *LOOSE, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert Calibration.from_dict({key: report.pop(key) for key in kept().to_dict()}) == kept()
    assert report == {
        "index": "parts",
        "encoder": "tiny-0",
        "encoder_id": tiny_bundle.encoder_id,
        "entries": 20,
        "background": 0,
        "source": "edited copies of 20 of its images, and 20 of its images looked up among the others",
        "notes": [],
        "page": None,
    }
    assert main(["query", "parts", "photos/0003.png", "-k", "1", "--json"]) == 0
    query = json.loads(capsys.readouterr().out)["queries"][0]
    match = query["matches"][0]
    assert (query["verdict"], match["verdict"], match["score"]) == ("match", "match", match["similarity"])


def test_a_background(here: Path, capsys: Captured) -> None:
    write_photos(here / "unrelated", 3, start=500)
    (here / "unrelated" / "text.png").write_text("no image")
    assert main(["calibrate", "parts", "--background", "unrelated", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert (report["background"], report["thresholds"], report["source"]) == (3, None, None)
    assert err == (
        "skipped unrelated/text.png: not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)\n"
    )
    assert main(["query", "parts", "photos/0003.png", "-k", "1"]) == 0
    header, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header == ["query", "rank", "similarity", "score", "path", "labels"]
    assert (row[2], float(row[3]) < 1) == ("1.0000", True)
    assert main(["calibrate", "parts", "--augment", "--background", "unrelated", *LOOSE]) == 0
    assert capsys.readouterr().out.startswith("parts: scores are normalised by 3 background images\n")
    assert main(["query", "parts", "photos/0003.png", "-k", "1"]) == 0
    header = capsys.readouterr().out.splitlines()[0].split()
    assert header == ["query", "rank", "similarity", "score", "verdict", "path", "labels"]


def test_clear(here: Path, capsys: Captured) -> None:
    write_photos(here / "unrelated", 3, start=500)
    main(["query", "parts", "photos/0003.png"])
    before = capsys.readouterr()
    assert main(["calibrate", "parts", "--augment", "--background", "unrelated", *LOOSE]) == 0
    capsys.readouterr()
    assert main(["calibrate", "parts", "--clear"]) == 0
    assert capsys.readouterr() == ("parts: thresholds and background are forgotten\n", "")
    main(["query", "parts", "photos/0003.png"])
    assert capsys.readouterr() == before
    assert main(["calibrate", "parts", "--clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"index": "parts", "thresholds": None, "background": 0}
    assert main(["calibrate", "parts", "--clear", "--background", "unrelated"]) == 2
    assert capsys.readouterr().err == (
        "edgesim: --clear forgets the background too; leave one of --clear and --background out\n"
    )


def test_pairs(here: Path, capsys: Captured) -> None:
    write_photos(here / "others", 10, start=300)
    rows = [f"photos/{i:04d}.png,photos/{i:04d}.png" for i in range(14)]
    rows += [f"others/0{300 + i}.png," for i in range(10)]
    (here / "known.csv").write_text("\n".join(["query,reference", *rows]))
    assert main(["calibrate", "parts", "--pairs", "known.csv", *LOOSE, "--confidence", "0.9"]) == 0
    assert capsys.readouterr().out.startswith("parts: from the pairs of known.csv\n")
    assert (kept().aims.confidence, kept().misses.trials, kept().false_alarms.trials) == (0.9, 14, 10)
    (here / "known.csv").write_text("\n".join(["query,reference", "none.png,photos/0000.png"]))
    assert main(["calibrate", "parts", "--pairs", "known.csv"]) == 3
    assert capsys.readouterr().err == f"edgesim: known.csv, line 2: {here}/none.png: no such file\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to calibrate with; name --pairs CSV, --augment or --background FOLDER"),
        (["--augment", "--misses", "1"], "--misses: expected a number between 0 and 1, got 1"),
        (
            ["--augment", "--false-alarms", "0.001"],
            "--false-alarms 0.001: 20 queries without a match cannot show so low a rate with 95 % "
            "confidence, it takes 5,990; add more, or pass --false-alarms 0.26",
        ),
    ],
)
def test_what_cannot_be_had(here: Path, capsys: Captured, arguments: list[str], message: str) -> None:
    assert main(["calibrate", "parts", *arguments]) == 2
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")


def test_a_page_that_cannot_be_written(here: Path, capsys: Captured) -> None:
    calibrate = ["calibrate", "parts", "--augment", *LOOSE, "--out"]
    (here / "file").write_text("")
    assert main([*calibrate, "file"]) == 2
    assert capsys.readouterr() == ("", "edgesim: file: is a file; choose a folder with --out\n")
    assert main([*calibrate, "file/below"]) == 8
    assert capsys.readouterr() == ("", "edgesim: file/below: Not a directory\n")
    (here / "report" / "calibration.html").mkdir(parents=True)
    assert main([*calibrate, "report"]) == 8
    out, err = capsys.readouterr()
    assert f"match from {kept().thresholds.upper:.4f} on" in out
    assert err == "edgesim: report/calibration.html: cannot be written (Is a directory)\n"


def test_verdicts_of_an_index_without_thresholds(here: Path, capsys: Captured) -> None:
    assert main(["query", "parts", "photos/0003.png", "--verdict"]) == 5
    assert capsys.readouterr() == (
        "",
        "edgesim: parts: has no thresholds to give verdicts by; make them with: edgesim calibrate parts\n",
    )
