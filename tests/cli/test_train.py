"""`edgesim train`: from folders of pictures to a run, and from there to a bundle; exact messages."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesim.cli.main import main
from edgesim.training.checkpoint import load_encoder
from edgesim.training.config import load_config
from tests.helpers import ROOT, run_python

SETTINGS = """
epochs = 2
batch_size = 16
views = 4
holdout = 0.25
[encoder]
input_size = 16
patch = 1
involution_reduction = 1
widths = [8, 8]
strides = [2, 2]
embedding_dim = 8
"""


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Two class folders of 12 pictures: dark ones and bright ones."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("bright", 150)):
        folder = tmp_path / "parts" / name
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(low, low + 100, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (tmp_path / "settings.toml").write_text(SETTINGS)
    return tmp_path / "parts"


def train(parts: Path, *options: str) -> int:
    run = str(parts.parent / "run")
    settings = str(parts.parent / "settings.toml")
    return main(["train", "--data", str(parts), "--out", run, "--config", settings, *options])


def test_class_folders(parts, capsys):
    assert train(parts, "--loss", "ce") == 0
    captured = capsys.readouterr()
    first, second = captured.out.splitlines()
    assert first == f"trained run on 18 images, 2 epochs -> {parts.parent / 'run'}"
    assert second.startswith("precision_at_1 on held-out images: ")
    assert captured.err == ""  # no progress bar where there is no terminal
    _, spec = load_encoder(parts.parent / "run")
    assert (spec.name, spec.input_size, spec.embedding_dim) == ("run", 16, 8)
    config = load_config(parts.parent / "run" / "config.toml")
    assert (config.loss, config.positives, config.data) == ("ce", "class", str(parts))


def test_json(parts, capsys):
    assert train(parts, "--json", "--name", "lids", "--seed", "3") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["run"], report["images"]) == (str(parts.parent / "run"), 18)
    assert 0.0 <= report["metrics"]["precision_at_1"] <= 1.0


@pytest.mark.parametrize(("folder", "positives"), [("parts", "class"), ("parts/dark", "views")])
def test_without_settings_the_folder_decides_what_is_the_same(parts, monkeypatch, folder, positives):
    monkeypatch.setattr("edgesim.training.metric_learning.train", lambda *arguments: {})
    monkeypatch.chdir(parts.parent)
    seen = []
    monkeypatch.setattr(
        "edgesim.cli.train._report", lambda args, config, images, metrics: seen.append(config)
    )
    assert main(["train", "--data", folder, "--out", "run"]) == 0
    (config,) = seen
    assert (config.positives, config.data) == (positives, str(parts.parent / folder))
    assert config.encoder.input_size == 128


def test_images_of_the_list_are_left_out(parts, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("dark/00.png\ndark/01.png\nbright/11.png\nbright/10.png\n")
    assert train(parts, "--positives", "views", "--exclude", str(tmp_path / "list.txt")) == 0
    assert capsys.readouterr().out.startswith("trained run on 15 images, 2 epochs")


def test_other_settings_for_a_run_that_is_there(parts, capsys):
    train(parts)
    assert train(parts, "--seed", "4") == 2
    assert capsys.readouterr().err == (
        f"edgesim: {parts.parent / 'run'}: was trained with seed = 0, not 4; "
        "repeat the settings to resume, or choose another --out\n"
    )


def test_wrong_data(parts, capsys):
    out = ["--out", str(parts.parent / "run")]
    assert main(["train", "--data", str(parts / "none"), *out]) == 3
    assert capsys.readouterr().err == (
        f"edgesim: {parts / 'none'}: no such folder, and not one of mnist, fashion_mnist, cifar10\n"
    )
    assert main(["train", "--data", "mnist", "--data-root", str(parts), *out]) == 3
    file = parts / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    expected = f"edgesim: {file}: cannot be read; --data-root must hold MNIST\n"
    assert capsys.readouterr().err == expected


def test_a_gpu_that_is_not_there(parts, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert train(parts, "--device", "cuda") == 2
    assert capsys.readouterr().err == (
        "edgesim: --device cuda: no GPU that torch can use here; pass --device cpu or leave it out\n"
    )


def test_torch_is_missing(parts):
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # an import of it then fails as if it were not installed
        "from edgesim.cli.main import main\n"
        "sys.exit(main(['train', '--data', 'parts', '--out', 'run']))"
    )
    result = run_python("-c", program, cwd=parts.parent)
    assert (result.returncode, result.stdout) == (6, "")
    assert result.stderr == (
        "edgesim: edgesim train needs the package torch, which is not installed. "
        "Run: pip install 'edgesim[train]'\n"
    )
    assert not (parts.parent / "run").exists()


def test_a_trained_run_becomes_a_bundle_that_finds_its_pictures(parts, tmp_path, capsys):
    """Train, export, index, query: every room once."""
    assert train(parts, "--epochs", "3") == 0
    bundle, index = str(tmp_path / "bundle"), str(tmp_path / "index")
    # Random pictures teach nothing: what is tested is that the rooms fit together, not the encoder.
    recipe = (ROOT / "export/edgesim_export/recipes/onnx_static_w8a8_pc.toml").read_text()
    loose = tmp_path / "onnx_loose.toml"
    loose.write_text(
        recipe.replace("cosine_mean_min = 0.995", "cosine_mean_min = 0.5")
        .replace("cosine_worst_min = 0.9", "cosine_worst_min = 0.0")
        .replace("recall_at_1_loss_max = 1.0", "recall_at_1_loss_max = 100.0")
    )
    run = str(tmp_path / "run")
    assert main(["export", run, "--format", "onnx", "--recipe", str(loose), "--out", bundle]) == 0
    assert main(["index", "add", index, str(parts), "--bundle", bundle]) == 0
    capsys.readouterr()
    assert main(["query", index, str(parts / "dark" / "03.png"), "-k", "1", "--json"]) == 0
    (query,) = json.loads(capsys.readouterr().out)["queries"]
    assert query["matches"][0]["path"] == str(parts / "dark" / "03.png")
    assert query["matches"][0]["similarity"] == pytest.approx(1.0, abs=1e-5)
