"""`edgesim bundle`: what is checked and shown, and every file with a flipped byte."""

import json
import shutil
from pathlib import Path

import onnxruntime
import pytest

from edgesim.builtin import ENCODERS, bundle_folder
from edgesim.bundle import Bundle
from edgesim.cli.main import main

Captured = pytest.CaptureFixture[str]
FILES = ["golden.npz", "manifest.json", "model.onnx", "model_card.md"]


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, at `bundle` in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle.folder, "bundle")
    return Path("bundle")


def test_verify(bundle: Path, capsys: Captured) -> None:
    assert main(["bundle", "verify", "bundle"]) == 0
    assert capsys.readouterr() == (
        "bundle: every file is as the manifest says\n"
        "bundle: not signed\n"
        f"onnxruntime {onnxruntime.__version__}: reproduces the golden embeddings, "
        "lowest cosine 1.0000 (limit 0.97)\n",
        "",
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_the_built_in_encoders_are_known_by_name(name: str, capsys: Captured) -> None:
    assert main(["bundle", "verify", name, "--engine", "onnxruntime"]) == 0
    out, err = capsys.readouterr()
    folder = bundle_folder(name)
    assert out.startswith(f"{folder}: every file is as the manifest says\n{folder}: not signed\nonnxruntime ")
    assert err == ""
    assert main(["bundle", "show", name]) == 0
    assert capsys.readouterr().out.startswith(f"encoder: {Bundle.load(bundle_folder(name)).title}\n")


def test_the_files_below_are_all_there_are(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.iterdir()) == FILES


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_flipped_byte_anywhere_is_refused(
    bundle: Path, capsys: Captured, name: str, place: float
) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    (bundle / name).write_bytes(content)
    for command in (["bundle", "verify", "bundle"], ["bundle", "show", "bundle"]):
        assert main(command) == 4
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"edgesim: bundle/{name}: changed or damaged")
        assert err.endswith("; copy the bundle again\n")
        assert err.count("\n") == 1


def test_a_missing_file_and_a_missing_bundle(bundle: Path, capsys: Captured) -> None:
    (bundle / "model.onnx").unlink()
    assert main(["bundle", "verify", "bundle"]) == 4
    assert capsys.readouterr().err == (
        "edgesim: bundle/model.onnx: missing or unreadable (No such file or directory); "
        "copy the bundle again\n"
    )
    assert main(["bundle", "verify", "none"]) == 4
    assert capsys.readouterr().err == (
        "edgesim: none: no such folder, and not one of copy, similar; make a bundle with: edgesim export\n"
    )


def test_an_encoder_that_fails_its_self_test(
    bundle: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, golden = Bundle.load(bundle).golden("onnx")
    monkeypatch.setattr(Bundle, "golden", lambda self, name: (images, -golden))
    assert main(["bundle", "verify", "bundle"]) == 4
    assert capsys.readouterr() == (
        "bundle: every file is as the manifest says\nbundle: not signed\n",
        f"edgesim: bundle: self-test failed, onnxruntime {onnxruntime.__version__} reproduces the golden "
        "embeddings with a cosine of -1.0000, the limit is 0.97; try another --engine\n",
    )


def test_show(bundle: Path, capsys: Captured) -> None:
    loaded = Bundle.load(bundle)
    assert main(["bundle", "show", "bundle"]) == 0
    assert capsys.readouterr().out == (
        f"encoder: tiny-0 ({loaded.encoder_id})\n"
        "input: 32x32 RGB pixels\n"
        "embedding: 16 numbers\n"
        f"onnx model: {(bundle / 'model.onnx').stat().st_size} bytes, none\n"
        "made by: tests 1\n"
        "\n"
        "model  gate  value  limit    result  note\n"
        "onnx   size  3000   1000000  pass\n"
    )


def test_show_as_json(bundle: Path, capsys: Captured) -> None:
    assert main(["bundle", "show", "bundle", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert shown.pop("folder") == "bundle"
    assert shown == {key: manifest[key] for key in shown}
    assert set(manifest) - set(shown) == {"files", "format_version", "sha256"}
