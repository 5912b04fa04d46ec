"""The loop: it learns, resumes to the same bits, is decided by its seed, and refuses other settings."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch

from edgesim.errors import UsageError
from edgesim.models.encoder import EncoderConfig
from edgesim.models.stages import Stage
from edgesim.training.config import AugmentConfig, TrainingConfig
from edgesim.training.metric_learning import Trainer, train
from tests.training.pictures import corner_squares
from tests.training.runs import check_resumes, digest

SMALL = TrainingConfig(
    name="small",
    epochs=4,
    batch_size=16,
    views=4,
    warmup_epochs=1.0,
    learning_rate=5e-3,
    encoder=EncoderConfig(
        input_size=16,
        embedding_dim=8,
        stages=(
            Stage(kind="involution"),
            Stage(kind="conv", width=8),
            Stage(kind="conv", width=8, stride=2),
            Stage(kind="conv", width=8),
            Stage(kind="conv", width=8, stride=2),
        ),
    ),
    augment=AugmentConfig(),
)


@pytest.fixture(scope="module")
def images():
    return corner_squares(48, 120)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("loss", ["ms", "ce"])
def test_it_learns_to_tell_classes_apart(images, tmp_path, loss):
    upright = AugmentConfig(crop_area_min=0.9, rotation_share=0, flip_share=0, paste_share=0, overlay_share=0)
    config = dataclasses.replace(SMALL, loss=loss, epochs=40, augment=upright)
    untrained = train(dataclasses.replace(config, epochs=0), images, images, tmp_path / "0", "cpu")
    trained = train(config, images, images, tmp_path / "1", "cpu")
    assert trained["precision_at_1"] == 1.0
    assert untrained["precision_at_1"] < 0.95
    log = [json.loads(line) for line in (tmp_path / "1" / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in log] == list(range(1, 41))
    assert log[-1]["loss"] < log[0]["loss"] / 2
    assert json.loads((tmp_path / "1" / "metrics.json").read_text()) == trained


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "ms", "positives": "views"},
        {"loss": "ce", "positives": "class"},
        {"loss": "ce", "optimizer": "sgd", "precision": "bfloat16", "label_smoothing": 0.1},
    ],
)
def test_an_interrupted_run_resumes_to_the_same_weights(images, tmp_path, monkeypatch, settings):
    check_resumes(dataclasses.replace(SMALL, **settings), images, tmp_path, monkeypatch)


def test_the_seed_decides(images, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(dataclasses.replace(SMALL, seed=seed, epochs=2), images, None, tmp_path / name, "cpu")
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_bfloat16_rounds_the_encoders_pass_and_nothing_else(images):
    kinds, losses = {}, {}
    for precision in ("auto", "float32", "bfloat16"):
        config = dataclasses.replace(SMALL, loss="ce", precision=precision)
        trainer = Trainer(config, images, "cpu")
        seen = kinds[precision] = []
        trainer.encoder.embedding.register_forward_hook(lambda *call, seen=seen: seen.append(call[2].dtype))
        trainer.loss.register_forward_pre_hook(lambda *call, seen=seen: seen.append(call[1][0].dtype))
        rows = torch.arange(16)
        losses[precision] = trainer._train_step(rows, trainer.views.of(rows, 0)).item()
        seen.append(trainer.encoder.embedding.weight.grad.dtype)
    assert kinds["float32"] == kinds["auto"] == [torch.float32, torch.float32, torch.float32]
    assert kinds["bfloat16"] == [torch.bfloat16, torch.float32, torch.float32]
    assert losses["float32"] == losses["auto"]
    assert 0 < abs(losses["bfloat16"] / losses["float32"] - 1) < 0.02


def test_other_settings_are_refused(images, tmp_path):
    train(dataclasses.replace(SMALL, epochs=1), images, None, tmp_path, "cpu")
    with pytest.raises(
        UsageError,
        match=re.escape(
            f"{tmp_path}: was trained with learning_rate = 0.005, not 0.1; "
            "repeat the settings to resume, or choose another --out"
        ),
    ):
        train(dataclasses.replace(SMALL, epochs=1, learning_rate=0.1), images, None, tmp_path, "cpu")
    with pytest.raises(UsageError, match="was trained on 48 images, 47 are there now; choose another --out"):
        train(dataclasses.replace(SMALL, epochs=1), images.subset(np.arange(47)), None, tmp_path, "cpu")


def test_the_schedule_warms_up_and_ends_at_zero(images):
    trainer = Trainer(dataclasses.replace(SMALL, epochs=10, warmup_epochs=2.0), images, "cpu")
    assert trainer.steps_per_epoch == 3
    rates = [trainer.learning_rate(step) for step in range(31)]
    assert rates[:6] == pytest.approx([5e-3 * (i + 1) / 6 for i in range(6)])
    assert rates[18] == pytest.approx(5e-3 / 2)  # half way down the cosine
    assert rates[30] == pytest.approx(0.0, abs=1e-9)


def test_a_run_starts_from_given_weights_and_a_resumed_one_does_not(images, tmp_path):
    start = Trainer(dataclasses.replace(SMALL, seed=5), images, "cpu").encoder.state_dict()
    seen = []

    def is_start(encoder):
        return all(torch.equal(encoder.state_dict()[name], value) for name, value in start.items())

    def two_epochs(trainer):
        seen.append((trainer.epoch, is_start(trainer.encoder), is_start(trainer.average)))
        return trainer.epoch == 2

    train(SMALL, images, None, tmp_path, "cpu", start=start, after_epoch=two_epochs)
    assert seen == [(0, True, True), (1, False, False), (2, False, False)]
    ended = digest(tmp_path)
    # A run that has ended early stays so; one that may go on does, from where it stood.
    train(SMALL, images, None, tmp_path, "cpu", start=start, after_epoch=two_epochs)
    assert seen[3:] == [(2, False, False)]
    assert digest(tmp_path) == ended
    train(SMALL, images, None, tmp_path, "cpu", start=start)
    assert digest(tmp_path) != ended
    log = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3, 4]


def test_the_average_follows_its_formula(images):
    trainer = Trainer(SMALL, images, "cpu")
    start = trainer.average.embedding.weight.clone()
    with torch.no_grad():
        trainer.encoder.embedding.weight.add_(1.0)
    trainer.step = 90
    trainer._update_average()
    # min(0.999, (1 + 90) / (10 + 90)) = 0.91 of the old, 0.09 of the new.
    torch.testing.assert_close(trainer.average.embedding.weight, start + 0.09)
