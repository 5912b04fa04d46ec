"""`edgesim bundle kit`, and `edgesim export --kit`: what they print, and what is refused before any work."""

import json
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli import export
from edgesim.cli.main import main
from edgesim.errors import InputError
from edgesim_export.kit import build
from tests.export.kit_files import fake_packages

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "collect_packages", fake_packages())


def test_bundle_kit(tmp_path: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    out = tmp_path / "kit"
    arguments = ["bundle", "kit", str(tiny_bundle.folder), "--profile", "pi-4b", "--out", str(out)]
    assert main(arguments) == 0
    *table, missing, last = capsys.readouterr().out.splitlines()
    assert [line.split() for line in table] == [
        ["package", "version"],
        ["edgesim", "1.0"],
        ["numpy", "2.0"],
        ["onnxruntime", "1.29.0"],
    ]
    assert missing == "without hnswlib: no compiler"
    assert last == (
        f"wrote {out}: 0.0 MB for Raspberry Pi 4 Model B, Python 3.11, engine onnxruntime; "
        "copy it to the device, and there run: sudo sh install.sh"
    )
    assert main([*arguments, "--overwrite", "--json", "--python", "3.13"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["kit"] == str(out)
    assert printed["files"] == json.loads((out / "kit.json").read_text())["files"]
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"edgesim: {out}: already exists; choose another folder or pass --overwrite\n"
    )


def exported(tmp_path: Path, *more: str) -> int:
    return main(["export", "copy", "--out", str(tmp_path / "bundle"), "--kit", str(tmp_path / "kit"), *more])


def test_export_makes_a_kit_of_the_bundle_that_it_wrote(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_export", lambda args: tiny_bundle)
    assert exported(tmp_path, "--profile", "pi-4b", "--json") == 0
    assert Bundle.load(tmp_path / "kit" / "bundle").encoder_id == tiny_bundle.encoder_id


def test_export_refuses_a_kit_before_it_works(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_export", lambda args: pytest.fail("work was done"))
    assert exported(tmp_path) == 2
    assert capsys.readouterr().err == (
        "edgesim: --kit holds packages for one device; say which device with --profile\n"
    )
    (tmp_path / "kit").mkdir()
    assert exported(tmp_path, "--profile", "pi-4b", "--overwrite") == 2
    assert "already exists" in capsys.readouterr().err


def test_no_network_is_one_line(
    tmp_path: Path, tiny_bundle: Bundle, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> dict[str, str]:
        raise InputError("the package index cannot be reached")

    monkeypatch.setattr(build, "collect_packages", fail)
    out = str(tmp_path / "kit")
    assert main(["bundle", "kit", str(tiny_bundle.folder), "--profile", "pi-4b", "--out", out]) == 3
    assert capsys.readouterr() == ("", "edgesim: the package index cannot be reached\n")
    assert list(tmp_path.iterdir()) == []
