"""`edgesim export`: what it prints, and how it fails."""

import json
import platform
import re
from importlib import resources

import onnxruntime
import pytest

from edgesim.bundle import Bundle
from edgesim.cli import export
from edgesim.cli.bundle_kit import show_progress
from edgesim.cli.main import main
from edgesim.machine import other_machine, read_machine
from edgesim.profiles import load_profile
from edgesim_export.recipe import load_recipe
from tests.export.small import write_checkpoint, write_recipe
from tests.helpers import ROOT, run_python, write_photos

UNKNOWN = "not measured here"
HERE = platform.machine()
INDEX = "100 entries, exact search"
BLOCKED = """
import sys
sys.path.insert(0, {export!r})

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
from edgesim.cli.main import main
from edgesim_export.recipe import load_recipe
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
    # A board whose index takes no time to make.
    board = (resources.files("firmware_profiles") / "pi-4b.toml").read_text()
    (folder / "board.toml").write_text(board.replace("index_entries = 100_000", "index_entries = 100"))
    return folder


def arguments(folder, *more, recipe="onnx_static_w8a8_pc.toml"):
    """The arguments of an export to ONNX alone, which is quick."""
    return [
        *("export", str(folder / "run"), "--format", "onnx", "--calibration", str(folder / "parts")),
        *("--recipe", str(folder / recipe), *more),
    ]


def test_prints_files_gates_and_the_bundle(folder, tmp_path, capsys):
    assert (
        main(arguments(folder, "--out", str(tmp_path / "bundle"), "--profile", str(folder / "board.toml")))
        == 0
    )
    captured = capsys.readouterr()
    assert captured.err == ""
    bundle = Bundle.load(tmp_path / "bundle")
    values = {gate["gate"]: gate["value"] for gate in bundle.gates}
    engine = f"onnxruntime {onnxruntime.__version__}"
    size = values["bytes"]
    files, gates, rest = captured.out.split("\n\n")
    assert [re.split("  +", line) for line in files.splitlines()] == [
        ["file", "bytes", "quantisation"],
        ["model.onnx", f"{size:,}", "static: int8 weights per channel, gptq, 7 bits used; uint8 activations"],
    ]
    assert [re.split("  +", line) for line in gates.splitlines()] == [
        ["model", "gate", "value", "limit", "result", "note"],
        ["onnx", "bytes", str(size), "< 1000000", "pass"],
        ["onnx", "cosine_mean", str(values["cosine_mean"]), ">= 0.995", "pass"],
        ["onnx", "cosine_worst", str(values["cosine_worst"]), ">= 0.9", "pass"],
        ["onnx", "recall_at_1_loss", str(values["recall_at_1_loss"]), "<= 50.0", "pass"],
        ["onnx", "float_operators", "Gelu, Pad, ReduceMean", "of Gelu, Pad, ReduceMean", "pass"],
        ["onnx", "operators", "onnxruntime", "onnxruntime", "pass", f"loaded by {engine}"],
        [
            "onnx",
            "wheels",
            "-",
            "3.11, 3.13",
            UNKNOWN,
            "the package index was not asked, pass --check-wheels",
        ],
        ["onnx", "peak_memory", str(values["peak_memory"]), "<= 250", "pass", f"{engine} on {HERE}, {INDEX}"],
        ["onnx", "latency", "-", "<= 150", UNKNOWN, other_machine(read_machine(), load_profile("pi-4b"))],
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
        assert result["report"] == str(tmp_path / "b.report.json")
        rows = [(g["gate"], str(g["value"])) for g in result["gates"] if not g["passed"]]
    else:
        lines = [re.split("  +", line) for line in captured.out.splitlines()]
        assert len(lines) == 6
        rows = [(gate, value) for _, gate, value, _, result in map(five, lines) if result == "FAIL"]
    ((gate, size),) = rows
    assert gate == "bytes"
    assert captured.err == (
        f"edgesim: no bundle was written, 1 of 5 gates failed: onnx bytes is {size}, the limit is 1000; "
        f"see {tmp_path / 'b.report.json'}; --force writes the bundle all the same\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["b.report.json"]


def five(cells):
    """Return the cells of a row but its note."""
    return cells[:5]


def test_forced(folder, tmp_path, capsys):
    strict = arguments(folder, "--out", str(tmp_path / "b"), recipe="strict/onnx_static_w8a8_pc.toml")
    assert main([*strict, "--force"]) == 0
    captured = capsys.readouterr()
    warning = f"written with --force, {tmp_path / 'b'} fails 1 of 5 gates: onnx bytes"
    assert captured.err == f"edgesim: warning: {warning}\n"
    assert captured.out.endswith(f"wrote {tmp_path / 'b'}: {Bundle.load(tmp_path / 'b').title}\n")
    assert main(["bundle", "show", str(tmp_path / "b")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("WARNING: written with --force, fails 1 of 5 gates: onnx bytes\n")
    assert re.search(r"^onnx +bytes +\d+ +< 1000 +FAIL$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--profile", "pi4"], 2, "unknown profile 'pi4'; did you mean 'pi-4b'?"),
        (
            ["--recipe", "onnx_statc_w8a8_pc"],
            2,
            "unknown recipe 'onnx_statc_w8a8_pc'; did you mean 'onnx_static_w8a8_pc'?",
        ),
        (["--calibration", "gone"], 3, "gone: no such file or folder"),
        (
            ["--recipe", "auto", "--recipe", "auto"],
            2,
            "--recipe auto chooses by itself; pass no other recipe with it",
        ),
        (
            ["--check-wheels"],
            2,
            "--check-wheels asks for a device's wheels; say which device with --profile",
        ),
        (["--name", "a b"], 2, "--name: expected letters, digits, '.', '_' and '-', got 'a b'"),
    ],
)
def test_wrong_requests(folder, tmp_path, capsys, options, status, message):
    command = ["export", str(folder / "run"), "--format", "onnx", "--out", str(tmp_path / "bundle")]
    assert main([*command, *options]) == status
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"edgesim: {message}\n")
    assert not (tmp_path / "bundle").exists()


def test_a_calibration_folder_with_three_images(folder, tmp_path, capsys):
    write_photos(tmp_path / "three", 3)
    command = ["export", str(folder / "run"), "--format", "onnx", "--out", str(tmp_path / "bundle")]
    assert main([*command, "--calibration", str(tmp_path / "three")]) == 3
    assert capsys.readouterr().err == (
        "edgesim: three: 3 usable images of 3, calibration needs 8 at least; "
        "pass a folder with more: --calibration FOLDER\n"
    )
    assert not (tmp_path / "bundle").exists()


def test_the_recipes_that_were_tried_and_the_losses_of_the_layers(folder, tmp_path, capsys, monkeypatch):
    own = load_recipe(str(folder / "onnx_static_w8a8_pc.toml"))
    monkeypatch.setattr("edgesim_export.pipeline.candidates", lambda formats, profile: [own])
    options = [
        *("--recipe", "auto", "--format", "onnx", "--calibration", str(folder / "parts"), "--out"),
        *(str(tmp_path / "bundle"), "--sensitivity", str(tmp_path / "layers")),
    ]
    assert main(["export", str(folder / "run"), *options]) == 0
    tried, remarks, layers, page, *_ = capsys.readouterr().out.split("\n\n")
    (row,) = Bundle.load(tmp_path / "bundle").recipe["auto"]["candidates"]
    assert [re.split("  +", line) for line in tried.splitlines()] == [
        ["recipe", "engine", "bytes", "cosine mean", "worst", "recall@1 loss", "ms", "failed"],
        [
            *("onnx_static_w8a8_pc", "onnxruntime", f"{row['bytes']:,}", f"{row['cosine_mean']:.5f}"),
            *(f"{row['cosine_worst']:.5f}", f"{row['recall_at_1_loss']:g}", f"{row['milliseconds']:.2f}"),
            *("-", "picked"),
        ],
    ]
    assert remarks.startswith("onnx: onnx_static_w8a8_pc, the nearest to the float encoder")
    assert remarks.splitlines()[1].startswith("ms: CPU time of one embedding on this machine")
    (model,) = json.loads((tmp_path / "layers" / "sensitivity.json").read_text())["models"]
    lines = [re.split("  +", line) for line in layers.splitlines()[2:]]
    assert [line[0] for line in lines] == [row["layer"] for row in model["layers"]]
    losses = [
        f"{model['layers'][-1][kind][part]:.2g}" for kind in ("alone", "saved") for part in ("mean", "worst")
    ]
    assert lines[-1] == ["embedding", "Gemm", *losses]
    assert page == f"wrote {tmp_path / 'layers' / 'sensitivity.html'}"


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
    show_progress("measuring")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show_progress("measuring")
    assert capsys.readouterr() == ("", "edgesim: measuring ...\n")
