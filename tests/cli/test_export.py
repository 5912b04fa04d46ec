"""`edgesim export`: what it prints, and how it fails."""

import json
import re

import pytest

from edgesim.bundle import Bundle
from edgesim.cli import export
from edgesim.cli.main import main
from tests.export.small import write_checkpoint, write_recipe
from tests.helpers import ROOT, run_python, write_photos

BLOCKED = """
import sys
sys.path.insert(0, {export!r})

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
from edgesim.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli-export")
    write_checkpoint(folder / "run")
    write_photos(folder / "parts", 20)
    # Eight pictures of random fields, by random weights: recall is left to chance.
    loose = {"calibration_images": "8", "recall_at_1_loss_max": "50.0"}
    write_recipe(folder, "onnx", **loose)
    (folder / "strict").mkdir()
    write_recipe(folder / "strict", "onnx", **loose, max_bytes="1000")
    return folder


def arguments(folder, *more, recipe="onnx_static_w8a8_pc.toml"):
    """The arguments of an export to ONNX alone, which is quick."""
    return [
        *("export", str(folder / "run"), "--format", "onnx", "--calibration", str(folder / "parts")),
        *("--recipe", str(folder / recipe), *more),
    ]


def test_prints_files_gates_and_the_bundle(folder, tmp_path, capsys):
    assert main(arguments(folder, "--out", str(tmp_path / "bundle"), "--profile", "pi-4b")) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    bundle = Bundle.load(tmp_path / "bundle")
    values = {gate["gate"]: gate["value"] for gate in bundle.gates}
    size = values["bytes"]
    files, gates, rest = captured.out.split("\n\n")
    assert [re.split("  +", line) for line in files.splitlines()] == [
        ["file", "bytes", "quantisation"],
        ["model.onnx", f"{size:,}", "static: int8 weights per channel, gptq, 7 bits used; uint8 activations"],
    ]
    assert [re.split("  +", line) for line in gates.splitlines()] == [
        ["model", "gate", "value", "limit", "passed"],
        ["onnx", "bytes", str(size), "< 1000000", "yes"],
        ["onnx", "cosine_mean", str(values["cosine_mean"]), ">= 0.995", "yes"],
        ["onnx", "cosine_worst", str(values["cosine_worst"]), ">= 0.9", "yes"],
        ["onnx", "recall_at_1_loss", str(values["recall_at_1_loss"]), "<= 50.0", "yes"],
        ["onnx", "float_operators", "Gelu, Pad, ReduceMean", "of Gelu, Pad, ReduceMean", "yes"],
    ]
    assert rest == (
        "calibrated on 8 images made from 8 pictures of 'parts', "
        "measured on 8 others and 48 edited copies\n"
        f"wrote {tmp_path / 'bundle'}: {bundle.title}\n"
    )


def test_json(folder, tmp_path, capsys):
    assert main(arguments(folder, "--out", str(tmp_path / "bundle"), "--name", "parts", "--json")) == 0
    captured = capsys.readouterr()
    bundle = Bundle.load(tmp_path / "bundle")
    assert json.loads(captured.out) == {
        "bundle": str(tmp_path / "bundle"),
        "name": "parts",
        "encoder_id": bundle.encoder_id,
        "models": bundle.models,
        "recipe": bundle.recipe,
        "gates": bundle.gates,
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failing_gate(folder, tmp_path, capsys, as_json):
    strict = arguments(folder, "--out", str(tmp_path / "b"), recipe="strict/onnx_static_w8a8_pc.toml")
    assert main([*strict, "--json"] if as_json else strict) == 7
    captured = capsys.readouterr()
    if as_json:
        result = json.loads(captured.out)
        assert result["bundle"] is None
        rows = [(g["gate"], str(g["value"])) for g in result["gates"] if not g["passed"]]
    else:
        lines = [re.split("  +", line) for line in captured.out.splitlines()]
        assert len(lines) == 6
        rows = [(gate, value) for _, gate, value, _, passed in lines if passed == "NO"]
    ((gate, size),) = rows
    assert gate == "bytes"
    assert captured.err == (
        f"edgesim: nothing was written, 1 of 5 gates failed: onnx bytes is {size}, the limit is 1000; "
        "calibrate on images like those that the device will see: --calibration FOLDER\n"
    )
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--profile", "pi4"], 2, "unknown profile 'pi4'; did you mean 'pi-4b'?"),
        (
            ["--recipe", "onnx_static"],
            2,
            "unknown recipe 'onnx_static'; did you mean 'onnx_static_w8a8_pc'?",
        ),
        (["--calibration", "gone"], 3, "gone: no such file or folder"),
        (["--name", "a b"], 2, "--name: expected letters, digits, '.', '_' and '-', got 'a b'"),
    ],
)
def test_wrong_requests(folder, tmp_path, capsys, options, status, message):
    command = ["export", str(folder / "run"), "--format", "onnx", "--out", str(tmp_path / "bundle")]
    assert main([*command, *options]) == status
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"edgesim: {message}\n")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["copy", "similar"])
def test_a_built_in_name_is_the_shipped_checkpoint(tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr("edgesim.cli.encoders.checkpoint_path", lambda name: tmp_path / f"{name}.pt")
    assert main(["export", name, "--out", str(tmp_path / "bundle")]) == 4
    expected = f"edgesim: {tmp_path / name}.pt: no such checkpoint; make one with: edgesim train\n"
    assert capsys.readouterr().err == expected


def test_an_unknown_name(tmp_path, capsys):
    assert main(["export", "simlar", "--out", str(tmp_path / "bundle")]) == 4
    assert capsys.readouterr().err == (
        "edgesim: simlar: no such file or folder, and not one of copy, similar; "
        "make a run with: edgesim train\n"
    )


@pytest.mark.parametrize("package", ["torch", "onnx", "litert_torch"])
def test_a_package_is_missing(folder, tmp_path, package):
    code = BLOCKED.format(export=str(ROOT / "export"), blocked=package)
    options = ["--out", tmp_path / "bundle", "--calibration", folder / "parts"]
    result = run_python("-c", code, "export", folder / "run", *options)
    assert (result.returncode, result.stdout) == (6, "")
    assert result.stderr == (
        f"edgesim: edgesim export needs the package {package}, which is not installed. "
        "Run: pip install 'edgesim[export]'\n"
    )
    assert not (tmp_path / "bundle").exists()


def test_the_converter_to_tflite_does_not_exist_for_arm(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    error = export._missing(ModuleNotFoundError("No module", name="litert_torch"))
    assert str(error) == (
        "the converter to TFLite needs the package litert_torch, which exists for x86-64 only; "
        "export on such a machine, or pass --format onnx"
    )


def test_a_module_that_no_extra_brings_is_a_defect():
    error = ModuleNotFoundError("No module", name="edgesim.gone")
    with pytest.raises(ModuleNotFoundError) as caught:
        export._missing(error)
    assert caught.value is error


def test_progress_goes_to_a_terminal_only(capsys, monkeypatch):
    export._show_progress("measuring")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    export._show_progress("measuring")
    assert capsys.readouterr() == ("", "edgesim: measuring ...\n")
