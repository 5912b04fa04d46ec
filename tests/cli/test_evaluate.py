"""`edgesim evaluate`: of bundles and runs, on folders and canonical sets; exact messages."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.metrics import retrieval_metrics
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig, Stage
from edgesim.training.checkpoint import save_encoder
from tests.helpers import TinyEncoder, photo, run_python, write_photos

Captured = pytest.CaptureFixture[str]
COUNT = 8
LABELS = np.repeat([0, 1, 2], COUNT)


@pytest.fixture
def work(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a bundle and three class folders."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle.folder, "bundle")
    for number, name in enumerate(("bolt", "nut", "washer")):
        write_photos(Path("parts") / name, COUNT, start=COUNT * number)
    return tmp_path


@pytest.fixture
def run(work: Path) -> Path:
    torch.manual_seed(0)
    stages = (Stage(kind="conv", width=8, stride=2), Stage(kind="involution"))
    config = EncoderConfig(input_size=16, stages=stages, embedding_dim=8)
    Path("run").mkdir()
    spec = ModelSpec(name="small", input_size=16, embedding_dim=8)
    save_encoder(Path("run/encoder.pt"), Encoder(config), spec)
    return Path("run")


def write_cifar(root: Path) -> None:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    planes = [photo(seed).transpose(2, 0, 1).tobytes() for seed in range(3 * COUNT)]
    records = (bytes([label]) + plane for label, plane in zip(LABELS, planes, strict=True))
    (folder / "test_batch.bin").write_bytes(b"".join(records))


def expected(rows: np.ndarray | slice = slice(None)) -> dict[str, float]:
    """The metrics of the tiny encoder, from its computation written out in NumPy."""
    embeddings = np.stack([TinyEncoder().embed(photo(seed)) for seed in range(3 * COUNT)])
    return retrieval_metrics(embeddings[rows].astype(np.float32), LABELS[rows])


def test_a_bundle_on_class_folders(work: Path, capsys: Captured) -> None:
    assert main(["evaluate", "bundle", "--dataset", "parts"]) == 0
    values = expected()
    assert 0 < values["map_at_r"] < 1
    bundle = Bundle.load(Path("bundle"))
    assert capsys.readouterr() == (
        "metric           value\n"
        f"precision_at_1   {values['precision_at_1']:.4f}\n"
        f"precision_at_10  {values['precision_at_10']:.4f}\n"
        f"r_precision      {values['r_precision']:.4f}\n"
        f"map_at_r         {values['map_at_r']:.4f}\n"
        "\n"
        f"encoder  {bundle.title}, onnxruntime {onnxruntime.__version__}, "
        f"{bundle.model_path('onnx').stat().st_size} bytes\n"
        "images   24 of parts, 3 classes\n",
        "",
    )


def test_json_and_files_say_the_same(work: Path, capsys: Captured) -> None:
    arguments = ["evaluate", "bundle", "--dataset", "parts", "--out", "new/out"]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["metrics"] == pytest.approx(expected())
    assert report["classes"] == ["bolt", "nut", "washer"]
    assert (report["images"], report["dataset"]) == (24, "parts")
    np.testing.assert_allclose(np.sum(report["confusion_percent"], axis=1), 100, atol=0.02)
    assert json.loads(Path("new/out/evaluation.json").read_text()) == report
    page = Path("new/out/evaluation.html").read_text(encoding="utf-8")
    right = round(24 * report["metrics"]["precision_at_1"])
    assert page.count("data:image/png;base64,") == 6 * (min(8, right) + min(8, 24 - right))
    assert main(arguments) == 0
    assert capsys.readouterr().out.endswith("\npage     new/out/evaluation.html\n")


def test_the_test_part_of_a_canonical_set(work: Path, capsys: Captured) -> None:
    write_cifar(Path("data"))
    assert main(["evaluate", "bundle", "--dataset", "cifar10", "--data-root", "data", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["metrics"] == pytest.approx(expected())
    assert report["classes"][2] == "bird"
    assert report["confusion_percent"][9] == [0.0] * 10


def test_limit_takes_images_spaced_over_the_set(work: Path, capsys: Captured) -> None:
    assert main(["evaluate", "bundle", "--dataset", "parts", "--limit", "6", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 6
    assert report["metrics"] == pytest.approx(expected(np.array([0, 5, 9, 14, 18, 23])))


def test_a_run_is_evaluated_in_float(run: Path, capsys: Captured) -> None:
    from edgesim.training.checkpoint import load_encoder
    from edgesim.training.datasets import load_folder
    from edgesim.training.evaluate import evaluate

    for path in ("run", "run/encoder.pt"):
        assert main(["evaluate", path, "--dataset", "parts", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["encoder"], report["engine"]) == ("small", "torch (float)")
        assert report["model_bytes"] == Path("run/encoder.pt").stat().st_size
        encoder, spec = load_encoder(run)
        direct = evaluate(encoder, spec, load_folder(Path("parts"), 16, by_class=True), "class", seed=0)
        assert report["metrics"]["precision_at_1"] == direct["precision_at_1"]


def test_a_bundle_needs_no_torch_and_a_run_says_what_is_missing(run: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # an import of it then fails as if it were not installed
        "from edgesim.cli.main import main\n"
        "sys.exit(main(['evaluate', sys.argv[1], '--dataset', 'parts', '--out', 'out']))"
    )
    result = run_python("-c", program, "bundle")
    assert (result.returncode, result.stderr) == (0, "")
    result = run_python("-c", program, "run")
    assert (result.returncode, result.stdout) == (6, "")
    assert result.stderr == (
        "edgesim: edgesim evaluate of a run needs the package torch, which is not installed. "
        "Run: pip install 'edgesim[train]'\n"
    )


def write_evaluation(file: Path, **changes: object) -> Path:
    """Write what `--out` leaves of an evaluation of `parts`, as far as the curve needs it."""
    values = {"encoder": "other", "engine": "torch (float)", "model_bytes": 400_000, "dataset": "parts"}
    report = {**values, "images": 24, "metrics": {"precision_at_1": 1.0}, **changes}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report))
    return file


def test_the_curve_has_this_encoder_and_those_compared(work: Path, capsys: Captured) -> None:
    arguments = ["evaluate", "bundle", "--dataset", "parts", "--out", "all/this"]
    assert main(arguments) == 0
    assert "<svg" not in Path("all/this/evaluation.html").read_text(encoding="utf-8")
    write_evaluation(Path("all/this/evaluation.json"), encoder="about to be replaced")
    write_evaluation(Path("all/deep/down/evaluation.json"))
    write_evaluation(Path("all/elsewhere/evaluation.json"), dataset="cifar10")
    write_evaluation(Path("all/fewer/evaluation.json"), images=23)
    named = write_evaluation(Path("named.json"), encoder="worse", metrics={"precision_at_1": 0.0})
    arguments += ["--compare", "all", "--compare", str(named)]
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert json.loads(Path("all/this/evaluation.json").read_text()) == report
    subject = {key: report[key] for key in ("encoder", "engine", "model_bytes")}
    other = {"engine": "torch (float)", "model_bytes": 400_000}
    assert report["curve"] == [
        {**subject, "precision_at_1": report["metrics"]["precision_at_1"]},
        {"encoder": "other", **other, "precision_at_1": 1.0},
        {"encoder": "worse", **other, "precision_at_1": 0.0},
    ]
    page = Path("all/this/evaluation.html").read_text(encoding="utf-8")
    assert page.count("<circle") - 2 == 2  # the legend has two

    assert main(arguments) == 0
    name = f"{report['encoder']}, {report['engine']}"
    precision = f"{report['metrics']['precision_at_1']:.4f}"
    assert (
        "\nmodel_bytes  precision_at_1  pareto_front  encoder\n"
        f"{report['model_bytes']:<11}  {precision}          yes           {name}\n"
        "400000       1.0000          yes           other, torch (float)\n"
        "400000       0.0000          no            worse, torch (float)\n\n"
    ) in capsys.readouterr().out


def test_without_compare_there_is_no_curve(work: Path, capsys: Captured) -> None:
    assert main(["evaluate", "bundle", "--dataset", "parts", "--json"]) == 0
    assert "curve" not in json.loads(capsys.readouterr().out)


def test_what_cannot_be_compared_is_said_before_the_work(
    work: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesim.runtime.embedder.Embedder.embed_pixels", None)
    write_evaluation(Path("other.json"), dataset="cifar10", images=10_000)
    assert main(["evaluate", "bundle", "--dataset", "parts", "--compare", "other.json"]) == 3
    assert capsys.readouterr() == (
        "",
        "edgesim: other.json: measured on 10000 images of cifar10, this evaluation on 24 of parts; "
        "compare evaluations of the same images\n",
    )


WRONG = [
    (
        ["bundle", "--dataset", "minst"],
        3,
        "minst: no such folder, and not one of mnist, fashion_mnist, cifar10",
    ),
    (
        ["bundle", "--dataset", "mnist"],
        2,
        "--dataset mnist needs --data-root, the folder that holds MNIST",
    ),
    (
        ["bundle", "--dataset", "cifar10", "--data-root", "parts"],
        3,
        "parts/cifar-10-batches-bin/test_batch.bin: cannot be read; "
        "--data-root must hold cifar-10-batches-bin",
    ),
    (
        ["parts", "--dataset", "parts"],
        4,
        "parts: neither a bundle (no manifest.json) nor a run (no encoder.pt); "
        "make one with: edgesim export, or edgesim train",
    ),
    (
        ["none", "--dataset", "parts"],
        4,
        "none: neither a bundle (no manifest.json) nor a run (no encoder.pt); "
        "make one with: edgesim export, or edgesim train",
    ),
    (
        ["bundle", "--dataset", "parts/nut"],
        3,
        "parts/nut: 0 class folders with images found, 2 needed at least",
    ),
    (
        ["bundle", "--dataset", "parts", "--limit", "3"],
        3,
        "parts: no class has two images among the 3 evaluated; add images, or raise --limit",
    ),
    (["bundle", "--dataset", "parts", "--limit", "1"], 2, "--limit: expected 2 at least, got 1"),
    (
        ["bundle", "--dataset", "parts", "--out", "bundle/model.onnx"],
        2,
        "bundle/model.onnx: is a file; choose a folder with --out",
    ),
    (
        ["run", "--dataset", "parts", "--engine", "litert"],
        2,
        "--engine: run is a run, which torch computes; leave it out, or pass a bundle",
    ),
]


@pytest.mark.parametrize(("arguments", "status", "message"), WRONG)
def test_wrong_requests(run: Path, capsys: Captured, arguments: list[str], status: int, message: str) -> None:
    assert main(["evaluate", *arguments]) == status
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")


def test_one_class_folder(work: Path, capsys: Captured) -> None:
    shutil.rmtree("parts/nut")
    shutil.rmtree("parts/bolt")
    assert main(["evaluate", "bundle", "--dataset", "parts"]) == 3
    assert capsys.readouterr().err == (
        "edgesim: parts: 1 class folders with images found, 2 needed at least\n"
    )
