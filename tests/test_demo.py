"""The demonstration: first with an encoder made of plain pixels, then the command with the built-in one."""

import json
import re
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import edgesim.demo
from edgesim.cli.main import main
from edgesim.demo import DemoResult, run_demo
from edgesim.edits import EDITS
from edgesim.errors import MissingDependencyError, UsageError
from edgesim.metrics import l2_normalise
from edgesim.preprocess import decode_image, load_pixels


class PixelMatcher:
    """Stands in for `Matcher`: the embedding is the picture itself, at 8 x 8; the same by a loop over all."""

    confused = False  # finds the last photo, whatever is asked
    asked: ClassVar[list[str]] = []  # the encoders of all matchers

    def __init__(self, folder: Path, encoder: str, engine: str | None, create: bool) -> None:
        assert create
        self.asked.append(encoder)
        folder.mkdir()
        (folder / "entries").write_bytes(b"")
        self.embedder = SimpleNamespace(
            bundle=SimpleNamespace(title="pixels (0123)"), engine=engine or "numpy"
        )
        self.entries: list[tuple[Path, np.ndarray]] = []

    def __enter__(self) -> "PixelMatcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def embed(self, path: Path) -> np.ndarray:
        return l2_normalise(load_pixels(path, 8).astype(np.float32).ravel() - 128)

    def add(self, paths: list[Path]) -> None:
        self.entries += [(path, self.embed(path)) for path in paths]

    def query(self, image: Path, k: int) -> list[SimpleNamespace]:
        embedding = self.embed(image)
        found = [(float(embedding @ entry), path) for path, entry in self.entries]
        similarity, path = found[-1] if self.confused else max(found)
        return [SimpleNamespace(similarity=similarity, path=str(path), labels={})][:k]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three small photographs, and the stand-in in the place of the encoder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / f"{name}.png" for name in ("ash", "beech", "cedar")]
    for seed, path in enumerate(paths):
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((90, 60), Image.Resampling.BICUBIC).save(path)
    monkeypatch.setattr(edgesim.demo, "sample_photos", lambda purpose: paths)
    monkeypatch.setattr(edgesim.demo, "Matcher", PixelMatcher)
    monkeypatch.setattr(PixelMatcher, "asked", [])
    return paths


def test_every_edit_of_every_photograph_is_looked_up(photos: list[Path], tmp_path: Path) -> None:
    result = run_demo(tmp_path / "out")
    assert [(query.photo, query.edit) for query in result.queries] == [(p, e) for p in photos for e in EDITS]
    for query in result.queries:
        assert query.query == tmp_path / "out" / "queries" / f"{query.photo.stem}-{query.edit}.jpg"
        with Image.open(query.query) as image:
            assert image.format == "JPEG"
        assert query.match in photos
        assert -1 <= query.similarity <= 1
        assert query.milliseconds > 0
    crops = {decode_image(query.query).size for query in result.of_edit("crop")}
    assert len(crops) > 1  # chance differs from copy to copy
    assert (result.encoder, result.engine) == ("pixels (0123)", "numpy")
    for edit in ("jpeg", "text", "brightness"):
        assert all(query.right for query in result.of_edit(edit))
    assert result.found == sum(query.match == query.photo for query in result.queries) >= 9
    assert run_demo(tmp_path / "other", engine="abacus").engine == "abacus"


def test_a_pasted_copy_lies_on_the_next_photograph(photos: list[Path], tmp_path: Path) -> None:
    queries = run_demo(tmp_path / "out").of_edit("paste")
    assert [query.photo for query in queries] == photos
    for query, background in zip(queries, [*photos[1:], photos[0]], strict=True):
        copy, behind = (load_pixels(path, 60).astype(int) for path in (query.query, background))
        border = np.ones((60, 60), dtype=bool)
        border[1:-1, 1:-1] = False
        near = np.abs(copy - behind)[border].mean(axis=1) < 12
        assert near.mean() > 0.5


def test_two_runs_make_the_same_copies(photos: list[Path], tmp_path: Path) -> None:
    first, second = (run_demo(tmp_path / name).queries for name in ("first", "second"))
    for one, other in zip(first, second, strict=True):
        assert one.query.read_bytes() == other.query.read_bytes()


def test_the_sheet_has_a_row_for_misses_only_if_there_are_any(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = []
    monkeypatch.setattr(
        edgesim.demo, "draw_contact_sheet", lambda *args: rows.append(args[2]) or Image.new("RGB", (1, 1))
    )
    monkeypatch.setattr(PixelMatcher, "confused", True)
    result = run_demo(tmp_path / "confused")
    assert result.found == 6  # the last photograph's own copies
    assert [row.heading for row in rows[0]] == [*EDITS, "missed"]
    assert {row.note for row in rows[0][:6]} == {"found 1 of 3"}
    assert rows[0][6].note == "1 of 12 shown"
    assert [pair.query_caption for pair in rows[0][6].pairs] == ["ash-crop"]
    # One photograph in each of the first three rows, the edits in turn.
    assert [[pair.query_caption for pair in row.pairs] for row in rows[0][:4]] == [
        ["ash"],
        ["beech"],
        ["cedar"],
        [],
    ]
    right = DemoResult(
        encoder="",
        engine="",
        queries=[query for query in result.queries if query.right],
        index=tmp_path,
        contact_sheet=tmp_path,
    )
    edgesim.demo._contact_sheet(right)
    assert [row.heading for row in rows[1]] == list(EDITS)


def test_a_second_run_replaces_what_the_first_made_and_nothing_else(
    photos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_demo(out)
    (out / "index" / "stale").write_bytes(b"")
    (out / "contact-sheet.png").write_bytes(b"")
    (out / "queries" / "mine.jpg").write_bytes(b"mine")
    (out / "notes.txt").write_text("mine")
    run_demo(out)
    assert [path.name for path in (out / "index").iterdir()] == ["entries"]
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.format == "PNG"
    assert (out / "queries" / "mine.jpg").read_bytes() == b"mine"
    assert (out / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_taken(photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run_demo(tmp_path / "out").contact_sheet.is_file()


def test_a_folder_with_something_else_is_left_alone(photos: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "home"
    (out / "index").mkdir(parents=True)
    (out / "index" / "precious").write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        run_demo(out)
    assert str(caught.value) == (
        f"{out}: is not empty and was not made by edgesim demo; choose another folder with --out"
    )
    assert [str(path.relative_to(out)) for path in sorted(out.rglob("*"))] == ["index", "index/precious"]


def test_a_file_in_the_place_of_the_folder(photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        run_demo(tmp_path / "out")
    assert str(caught.value) == f"{tmp_path / 'out'}: is a file; choose a folder with --out"


def test_without_the_packages_of_the_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    assert main(["demo", "--out", str(tmp_path / "out")]) == MissingDependencyError.exit_status
    assert capsys.readouterr().err == (
        "edgesim: edgesim demo needs the package skimage, which is not installed. "
        "Run: pip install 'edgesim[demo]'\n"
    )
    assert not (tmp_path / "out").exists()


def test_the_table(photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["query", "best", "match", "similarity", "ms"]
    assert re.fullmatch(
        r"ash-crop\.jpg +(ash|beech|cedar)\.png +-?\d\.\d{3} +\d+\.\d  (right|WRONG)", lines[1]
    )
    assert len({line.rindex(line.split()[-1]) for line in lines[1:19]}) == 1  # aligned
    ends = {match.end() for line in lines[1:19] if (match := re.search(r" -?\d\.\d{3}(?= )", line))}
    assert ends == {lines[0].index("similarity") + len("similarity")}
    totals = [re.fullmatch(r"found +(\d+) of +(\d+) \((\w+)\)", line) for line in lines[20:27]]
    assert [total and total[3] for total in totals] == [*EDITS, "all"]
    assert sum(line.endswith("right") for line in lines[1:19]) == int(totals[-1][1])  # type: ignore[index]
    assert totals[-1][2] == "18"  # type: ignore[index]
    assert lines[28:] == [
        "encoder        pixels (0123), numpy",
        f"index          {tmp_path / 'out' / 'index'}",
        f"contact sheet  {tmp_path / 'out' / 'contact-sheet.png'}",
    ]
    assert err == ""  # no progress bar where there is no terminal


def test_the_encoder_is_chosen_by_name(photos: list[Path], tmp_path: Path) -> None:
    for options in ([], ["--encoder", "similar"], ["--encoder", "my-bundle"]):
        assert main(["demo", "--out", str(tmp_path / "out"), *options]) == 0
    assert PixelMatcher.asked == ["copy", "similar", "my-bundle"]


def test_the_refusal_as_the_command_gives_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"edgesim: {tmp_path}: is not empty and was not made by edgesim demo; "
        "choose another folder with --out\n"
    )


def test_the_built_in_encoder_finds_the_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command, twice: `edgesim demo` as a stranger runs it, then again for JSON."""
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    text, err = capsys.readouterr()
    assert err == ""
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.endswith(("right", "WRONG")) for line in lines) == 108
    assert main(["demo", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["of"] == len(report["queries"]) == 108
    assert report["found"] == sum(query["right"] for query in report["queries"])
    assert report["found"] == sum(edit["found"] for edit in report["edits"].values())
    assert {edit["of"] for edit in report["edits"].values()} == {18}
    assert f"found {report['found']:3} of 108 (all)" in lines
    # Five of six; chance would find six in all.
    assert report["found"] >= 90
    assert report["edits"]["jpeg"]["found"] == 18
    with Image.open(report["contact_sheet"]) as sheet:
        assert sheet.width == 1600
