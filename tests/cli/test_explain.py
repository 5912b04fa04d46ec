"""edgesim explain: text, JSON and page."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from tests.helpers import TinyEncoder, photo, png
from tests.runtime.known_photos import embedded, photo_index

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    photo_index(tmp_path, tiny_bundle, 16).rename(tmp_path / "parts")
    (tmp_path / "new.png").write_bytes(png(photo(77)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cosines() -> np.ndarray:
    return np.sort(embedded(range(16)) @ TinyEncoder().embed(photo(77)))[::-1]


def test_text_and_page(here: Path, capsys: Captured) -> None:
    assert main(["explain", "parts", "new.png", "--match", "2", "--out", "why.html"]) == 0
    out, err = capsys.readouterr()
    similar = embedded(range(16)) @ TinyEncoder().embed(photo(77))
    second = int(np.argsort(-similar)[1])
    margin = cosines()[1] - cosines()[2]
    assert out.splitlines() == [
        f"new.png: match 2 is {here}/photos/{second:04d}.png",
        f"similarity {cosines()[1]:.4f}; {margin:.4f} ahead of the next candidate",
        "page: why.html",
    ]
    assert err == ""
    page = Path("why.html").read_text()
    assert f"<p>Similarity {cosines()[1]:.4f}; {margin:.4f} ahead" in page
    assert f'<tr class="this"><td>2</td><td>{cosines()[1]:.4f}</td><td>' in page
    assert page.count('<img alt="') == 4


def test_json_with_a_verdict(here: Path, capsys: Captured) -> None:
    assert main(["explain", "parts", "new.png", "--match", "16", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert np.shape(report.pop("query_map")) == np.shape(report.pop("match_map")) == (8, 8)
    assert report.pop("similarity") == pytest.approx(cosines()[-1], abs=1e-5)
    assert report.pop("path").startswith(f"{here}/photos/")
    assert report == {"index": "parts", "query": "new.png", "rank": 16, "margin": None, "page": None}
    assert main(["calibrate", "parts", "--augment", "--false-alarms", "0.4", "--misses", "0.2"]) == 0
    capsys.readouterr()
    assert main(["explain", "parts", "photos/0003.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "match"
    assert main(["explain", "parts", "photos/0003.png"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("similarity 1.0000, match; ")


def test_what_cannot_be_explained(here: Path, capsys: Captured) -> None:
    assert main(["explain", "parts", "new.png", "--match", "17"]) == 3
    message = "edgesim: parts: expected 17 entries at least, as match 17 is to be explained, got 16\n"
    assert capsys.readouterr() == ("", message)
    assert main(["explain", "parts", "none.png"]) == 3
    assert capsys.readouterr() == ("", "edgesim: none.png: no such file\n")
    assert main(["explain", "parts", "new.png", "--out", "photos"]) == 8
    assert capsys.readouterr() == ("", "edgesim: photos: cannot be written (Is a directory)\n")
