"""`edgesim train`: from folders of pictures to a run, and from there to a bundle; exact messages."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesim.builtin import checkpoint_path
from edgesim.cli.main import main
from edgesim.models.zoo import load_model
from edgesim.training.checkpoint import load_encoder, weights_sha256
from edgesim.training.config import TrainingConfig, load_config
from edgesim.training.fine_tuning import FineTuning
from tests.helpers import ROOT, run_python

SETTINGS = """
epochs = 2
batch_size = 16
views = 4
holdout = 0.25
"""
ENCODER = """
[encoder]
input_size = 16
embedding_dim = 8
stages = [
  { kind = "involution" },
  { kind = "conv", width = 8, stride = 2 },
  { kind = "conv", width = 8, stride = 2 },
]
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
    (tmp_path / "settings.toml").write_text(SETTINGS + ENCODER)
    (tmp_path / "fine_tune.toml").write_text(SETTINGS + "validation = 0.25\npatience = 1\n")
    return tmp_path / "parts"


def train(parts: Path, *options: str) -> int:
    run = str(parts.parent / "run")
    settings = str(parts.parent / "settings.toml")
    return main(["train", "--data", str(parts), "--out", run, "--config", settings, *options])


def fine_tune(parts: Path, *options: str) -> int:
    """Fine-tune what `train` has trained."""
    start, run = (str(parts.parent / name) for name in ("run", "tuned"))
    settings = str(parts.parent / "fine_tune.toml")
    data = ["--data", str(parts)]
    return main(["train", *data, "--from", start, "--out", run, "--config", settings, *options])


def captured_config(monkeypatch: pytest.MonkeyPatch) -> list[TrainingConfig]:
    """Return a list that every training's settings go to, instead of a training."""
    seen: list[TrainingConfig] = []
    monkeypatch.setattr("edgesim.training.metric_learning.train", lambda *arguments, **start: {})
    monkeypatch.setattr("edgesim.cli.train._report", lambda args, config, *rest: seen.append(config))
    return seen


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
    seen = captured_config(monkeypatch)
    monkeypatch.chdir(parts.parent)
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


def test_a_model_of_the_zoo_takes_the_place_of_the_settings_one(parts, monkeypatch):
    seen = captured_config(monkeypatch)
    (parts.parent / "settings.toml").write_text(SETTINGS + '[encoder]\nmodel = "photo"\ninput_size = 64\n')
    assert train(parts, "--model", "hybrid") == 0
    assert main(["train", "--data", str(parts), "--out", "run", "--model", "hybrid"]) == 0
    hybrid = load_model("hybrid")
    assert [config.encoder for config in seen] == [dataclasses.replace(hybrid, input_size=64), hybrid]


def test_a_model_beside_settings_with_stages(parts, capsys):
    assert train(parts, "--model", "hybrid") == 2
    assert capsys.readouterr().err == (
        f"edgesim: --model: {parts.parent / 'settings.toml'} has stages of its own; leave one of them out\n"
    )


def test_a_teacher_is_named_by_its_full_path(parts, monkeypatch):
    seen = captured_config(monkeypatch)
    monkeypatch.chdir(parts.parent)
    assert train(parts, "--teacher", "big", "--loss", "ce") == 0
    assert seen[0].teacher == str(parts.parent / "big")


def test_fine_tuning_prints_before_and_after(parts, capsys):
    train(parts)
    rng = np.random.default_rng(1)
    (parts / "rare").mkdir()
    for number in range(5):
        picture = Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))
        picture.save(parts / "rare" / f"{number}.png")
    capsys.readouterr()
    assert fine_tune(parts, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    metrics, tuned = report["metrics"], parts.parent / "tuned"
    assert (report["run"], report["images"], report["unmeasured"]) == (str(tuned), 19, ["rare"])
    assert json.loads((tuned / "metrics.json").read_text()) == metrics
    # Again, now as a table: the run has ended, and its figures are the same.
    assert fine_tune(parts) == 0
    header, before, after, empty, unmeasured, trained, *_, following = capsys.readouterr().out.splitlines()
    assert header.split() == ["encoder", "right", "test", "images", "precision@1"]
    start, best = metrics["precision_at_1_before"], metrics["precision_at_1"]
    assert before.split() == ["before:", str(parts.parent / "run"), f"{start * 6:.0f}", "6", f"{start:.4f}"]
    assert after.split("  ")[0] == f"after: epoch {metrics['best_epoch']} of {metrics['epochs']}"
    assert after.split()[-3:] == [f"{best * 6:.0f}", "6", f"{best:.4f}"]
    assert empty == ""
    assert unmeasured == "trained on but not measured, fewer than 6 images: rare"
    assert trained == f"fine-tuned on 19 images, 4 others decided when to stop -> {tuned}"
    assert following == f"next: edgesim export {tuned} --format both --out {tuned}-bundle"


@pytest.mark.parametrize(("after", "said"), [(0.7, True), (0.8, True), (0.9, False)])
def test_fine_tuning_says_when_it_did_not_help(parts, capsys, monkeypatch, after, said):
    images = {"training": 16, "validation": 4, "test": 10}
    result = FineTuning(before=0.8, after=after, epochs=5, best_epoch=0, images=images, unmeasured=())
    seen = []

    def run(config, split, start, run, device):
        seen.append((config, start))
        return result

    monkeypatch.setattr("edgesim.training.fine_tuning.fine_tune", run)
    monkeypatch.chdir(parts.parent)
    assert main(["train", "--data", "parts", "--from", "copy", "--out", "my run"]) == 0
    output = capsys.readouterr().out
    line = "not better than copy: keep using that one, or add photos and fine-tune again\n"
    assert (line in output) is said
    assert output.endswith("next: edgesim export 'my run' --format both --out 'my run-bundle'\n")
    config, (start, _) = seen[0]
    assert weights_sha256(start) == weights_sha256(load_encoder(checkpoint_path("copy"))[0])
    assert (config.encoder, config.start, config.patience) == (start.config, "copy", 5)


def test_wrong_requests_to_fine_tune(parts, capsys):
    train(parts)
    for options, status, message in (
        (["--model", "hybrid"], 2, "--model: the architecture is that of --from; leave one of them out"),
        (
            ["--config", str(parts.parent / "settings.toml"), "--from", "copy"],
            2,
            "copy has another architecture than the settings; leave out the table [encoder]",
        ),
        (
            ["--data", str(parts / "dark")],
            3,
            f"{parts / 'dark'}: expected a folder for each class, 2 at least, with its photos; "
            "sort them into such folders, or train without --from",
        ),
        (["--data", "mnist"], 2, "--from needs a folder of class folders as --data, got mnist"),
        (
            ["--from", "simlar"],
            4,
            "simlar: no such file or folder, and not one of copy, similar; make a run with: edgesim train",
        ),
        (
            ["--from", str(parts)],
            4,
            f"{parts / 'encoder.pt'}: no such checkpoint; make one with: edgesim train",
        ),
    ):
        capsys.readouterr()
        assert fine_tune(parts, *options) == status
        assert capsys.readouterr().err == f"edgesim: {message}\n"
    assert not (parts.parent / "tuned").exists()


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
    assert main(["index", "add", index, str(parts), "--encoder", bundle]) == 0
    capsys.readouterr()
    assert main(["query", index, str(parts / "dark" / "03.png"), "-k", "1", "--json"]) == 0
    (query,) = json.loads(capsys.readouterr().out)["queries"]
    assert query["matches"][0]["path"] == str(parts / "dark" / "03.png")
    assert query["matches"][0]["similarity"] == pytest.approx(1.0, abs=1e-5)
