"""`edgesim train --loss qk`: a teacher, a student that learns from its keys, and going on from a run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgesim.builtin import checkpoint_path
from edgesim.cli.main import main
from edgesim.models.zoo import load_model
from edgesim.training.checkpoint import load_encoder
from edgesim.training.config import TrainingConfig, load_config

SETTINGS = """
loss = "qk"
positives = "views"
epochs = {epochs}
batch_size = 8
views = {views}
holdout = 0.25
augmentation = "copies"

[encoder]
input_size = {size}
embedding_dim = 8
stages = [{{ kind = "conv", width = {width}, stride = 2 }}]

[qk]
keys = "{keys}"
key_steps = 2
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(24):
        pixels = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 20)).save(tmp_path / "photos" / f"{number:02}.png")
    return tmp_path / "photos"


def train(
    photos: Path,
    run: str,
    *options: str,
    keys: str = "own",
    epochs: int = 2,
    width: int = 8,
    size: int = 16,
    views: int = 1,
) -> int:
    settings = photos.parent / f"{run}.toml"
    settings.write_text(SETTINGS.format(keys=keys, epochs=epochs, width=width, size=size, views=views))
    out = str(photos.parent / run)
    return main(["train", "--data", str(photos), "--config", str(settings), "--out", out, *options])


def test_without_settings_it_is_the_preset_of_copies(photos, monkeypatch):
    seen: list[TrainingConfig] = []
    monkeypatch.setattr("edgesim.training.metric_learning.train", lambda *arguments, **start: {})
    monkeypatch.setattr("edgesim.cli.train._report", lambda args, config, *rest: seen.append(config))
    assert main(["train", "--data", str(photos), "--loss", "qk", "--out", str(photos.parent / "run")]) == 0
    (config,) = seen
    assert (config.positives, config.augmentation, config.views) == ("views", "copies", 1)
    assert config.encoder == load_model("copy")


def test_without_settings_copies_are_learnt_on_from_an_encoder_by_multi_similarity(photos, monkeypatch):
    seen: list[TrainingConfig] = []
    built_in_encoder, _ = load_encoder(checkpoint_path("copy"))
    built_in = built_in_encoder.state_dict()

    def no_training(config, images, held_out, run, device, start):
        seen.append(config)
        assert all(torch.equal(start[name], built_in[name]) for name in built_in)
        return {}

    monkeypatch.setattr("edgesim.training.metric_learning.train", no_training)
    go_on = ["--from", "copy", "--positives", "views"]
    assert main(["train", "--data", str(photos), *go_on, "--out", str(photos.parent / "run")]) == 0
    (config,) = seen
    assert (config.loss, config.augmentation, config.views) == ("ms", "copies", 2)
    assert config.encoder == built_in_encoder.config


def test_a_student_learns_from_a_teacher_of_another_architecture(photos, capsys):
    assert train(photos, "teacher", width=16) == 0
    teacher = str(photos.parent / "teacher")
    assert train(photos, "student", "--teacher", teacher, keys="both") == 0
    assert capsys.readouterr().out.splitlines()[2] == (
        f"trained student on 18 images, 2 epochs -> {photos.parent / 'student'}"
    )
    assert load_config(photos.parent / "student" / "config.toml").teacher == teacher


def test_a_run_of_no_epochs_leaves_the_encoder_that_it_starts_with(photos):
    assert train(photos, "first") == 0
    assert train(photos, "second", "--from", str(photos.parent / "first"), epochs=0) == 0
    first, second = (load_encoder(photos.parent / name)[0].state_dict() for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_goes_on_by_another_loss(photos):
    assert train(photos, "first") == 0
    go_on = ["--from", str(photos.parent / "first"), "--loss", "ms", "--positives", "views"]
    assert train(photos, "second", *go_on, epochs=0, views=2) == 0
    first, second = (load_encoder(photos.parent / name)[0].state_dict() for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert load_config(photos.parent / "second" / "config.toml").loss == "ms"


def test_it_goes_on_at_another_input_size(photos):
    assert train(photos, "first") == 0
    assert train(photos, "larger", "--from", str(photos.parent / "first"), epochs=0, size=32) == 0
    first, _ = load_encoder(photos.parent / "first")
    larger, spec = load_encoder(photos.parent / "larger")
    assert (first.config.input_size, larger.config.input_size, spec.input_size) == (16, 32, 32)
    assert all(
        torch.equal(first.state_dict()[name], larger.state_dict()[name]) for name in first.state_dict()
    )


def test_wrong_requests(photos, capsys):
    assert train(photos, "first") == 0
    first, other = str(photos.parent / "first"), photos.parent / "other"
    for options, settings, message in (
        (
            ["--from", first],
            {"width": 16},
            f"{first} has another architecture than the settings; leave out --model and the table "
            "[encoder], or change its input_size only",
        ),
        ([], {"keys": "both"}, "keys = both needs a teacher; pass --teacher RUN, or set keys = own"),
        (["--teacher", first], {}, "keys = own takes no teacher; leave --teacher out, or set keys = both"),
        (["--positives", "class"], {}, "loss = qk needs positives = views, got class; set positives = views"),
    ):
        capsys.readouterr()
        assert train(photos, "other", *options, **settings) == 2
        assert capsys.readouterr().err == f"edgesim: {message}\n"
    assert not other.exists()
