"""`edgesim index watch`: a line a batch, and a clean end on either signal."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.runtime.index import Index
from edgesim.runtime.verify import verify_index
from tests.helpers import ROOT, write_photos


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_until_a_signal(tmp_path: Path, tiny_bundle: Bundle, number: signal.Signals) -> None:
    write_photos(tmp_path / "photos", 2)
    (tmp_path / "photos" / "text.jpg").write_text("no image")
    options = ["--encoder", tiny_bundle.folder, "--label", "line=3", "--quiet", "0.05", "--every", "0.01"]
    with subprocess.Popen(
        [sys.executable, "-m", "edgesim", "index", "watch", "parts", "photos", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "parts: 2 added, 0 updated, 1 skipped; 2 entries\n"
        write_photos(tmp_path / "photos", 1, start=2)
        assert process.stdout.readline() == "parts: 1 added, 0 updated, 0 skipped; 3 entries\n"
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (0, "parts: stopped\n")
    reason = "not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)"
    assert err == f"skipped {tmp_path}/photos/text.jpg: {reason}\n"
    with Index.open(tmp_path / "parts", read_only=True) as index:
        assert [entry.labels for entry in index.entries()] == [{"line": "3"}] * 3
    assert verify_index(tmp_path / "parts").damage == []


def test_a_time_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["index", "watch", "parts", ".", "--quiet", "-1"]) == 2
    assert capsys.readouterr() == ("", "edgesim: --quiet: expected 0 to 86400 seconds, got -1.0\n")
