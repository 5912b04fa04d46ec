"""Fine-tuning: it keeps the best encoder, not the last, stops in time, resumes, and measures what it says."""

import dataclasses
import json
import re
from types import SimpleNamespace

import pytest
import torch

from edgesim.errors import UsageError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig, embed_pixels
from edgesim.models.stages import Stage
from edgesim.training import fine_tuning
from edgesim.training.checkpoint import load_encoder, load_torch, weights_sha256
from edgesim.training.config import AugmentConfig, TrainingConfig
from edgesim.training.datasets import split_by_class
from edgesim.training.fine_tuning import BEST_FILE, EarlyStop, check_start, fine_tune
from edgesim.training.metric_learning import Trainer
from tests.training.pictures import corner_squares

ARCHITECTURE = EncoderConfig(
    input_size=16,
    embedding_dim=8,
    stages=(
        Stage(kind="involution", kernel=3),
        Stage(kind="conv", width=8),
        Stage(kind="conv", width=8, stride=2),
    ),
)
SMALL = TrainingConfig(
    name="parts",
    start="copy",
    epochs=6,
    batch_size=16,
    views=4,
    warmup_epochs=1.0,
    learning_rate=1e-2,
    ema_decay=0.5,
    holdout=0.25,
    validation=0.25,
    encoder=ARCHITECTURE,
    augment=AugmentConfig(
        **dict.fromkeys(("rotation_share", "flip_share", "paste_share", "overlay_share"), 0.0),
        **dict.fromkeys(("grey_share", "blur_share", "jpeg_share", "noise_share"), 0.0),
        crop_area_min=0.9,
        colour=0.1,
    ),
)


@pytest.fixture(scope="module")
def split():
    return split_by_class(corner_squares(96, 200), 0.25, 0.25, 0)


@pytest.fixture
def start():
    torch.manual_seed(0)
    return Encoder(ARCHITECTURE).eval(), ModelSpec(name="start", input_size=16, embedding_dim=8)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def digest(run):
    return weights_sha256(load_encoder(run)[0])


def share_found(encoder, spec, images):
    """Precision@1, leave-one-out, by a loop."""
    embeddings = embed_pixels(encoder, spec, images.pixels)
    right = 0
    for i, query in enumerate(embeddings):
        others = [j for j in range(len(embeddings)) if j != i]
        nearest = max(others, key=lambda j: float(query @ embeddings[j]))
        right += images.labels[nearest] == images.labels[i]
    return right / len(embeddings)


def test_before_and_after_are_those_of_the_start_and_of_the_best_encoder(split, start, tmp_path):
    before = share_found(*start, split.test)
    result = fine_tune(dataclasses.replace(SMALL, epochs=8), split, start, tmp_path, "cpu")
    encoder, spec = load_encoder(tmp_path)
    assert (result.before, result.after) == (before, share_found(encoder, spec, split.test))
    assert result.after > result.before + 0.3
    assert spec == ModelSpec(name="parts", input_size=16, embedding_dim=8)
    precision = load_torch(tmp_path / BEST_FILE)["precision_at_1"]
    assert share_found(encoder, spec, split.validation) == precision[result.best_epoch]
    assert max(precision.values()) == precision[result.best_epoch] > precision[0]
    assert (result.epochs, result.images) == (8, {"training": 56, "validation": 16, "test": 24})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "precision_at_1": result.after,
        "precision_at_1_before": before,
        "epochs": 8,
        "best_epoch": result.best_epoch,
        "training_images": 56,
        "validation_images": 16,
        "test_images": 24,
    }


def test_the_best_epoch_is_kept_and_patience_ends_the_run(split, tmp_path, monkeypatch):
    scores = iter([0.5, 0.6, 0.7, 0.7, 0.6, 0.69])
    monkeypatch.setattr(fine_tuning, "_precision_at_1", lambda *arguments: next(scores))
    layer = torch.nn.Linear(1, 1)
    stop, answers = EarlyStop(tmp_path, split.validation, patience=3), []
    for epoch in range(6):
        torch.nn.init.constant_(layer.weight, epoch)
        answers.append(stop(SimpleNamespace(epoch=epoch, average=layer, spec=None)))
    assert answers == [False] * 5 + [True]
    for kept in (stop, EarlyStop(tmp_path, split.validation, patience=3)):  # the second reads the file
        assert kept.best_epoch == 2
        assert kept.weights["weight"].item() == 2
        assert kept.precision == {0: 0.5, 1: 0.6, 2: 0.7, 3: 0.7, 4: 0.6, 5: 0.69}


def test_where_no_epoch_is_better_the_start_is_kept(split, start, tmp_path, monkeypatch):
    monkeypatch.setattr(fine_tuning, "_precision_at_1", lambda *arguments: 1.0)
    result = fine_tune(dataclasses.replace(SMALL, patience=2), split, start, tmp_path, "cpu")
    assert (result.epochs, result.best_epoch) == (2, 0)
    assert digest(tmp_path) == weights_sha256(start[0])


@pytest.mark.parametrize("where", ["epoch", "measurement"])
def test_an_interrupted_run_resumes_to_the_same_encoder(split, start, tmp_path, monkeypatch, where):
    whole = fine_tune(SMALL, split, start, tmp_path / "whole", "cpu")

    owner, name = (Trainer, "train_epoch") if where == "epoch" else (EarlyStop, "_measure")
    original, calls = getattr(owner, name), []

    def interrupted(*arguments):
        calls.append(name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(SMALL, split, start, tmp_path / "parts", "cpu")
    assert fine_tune(SMALL, split, start, tmp_path / "parts", "cpu") == whole
    assert digest(tmp_path / "parts") == digest(tmp_path / "whole")
    # Six epochs, or the start and six epochs, and the one that was interrupted.
    assert len(calls) == {"epoch": 7, "measurement": 8}[where]


def test_what_another_run_left_before_its_first_checkpoint_is_not_taken_up(split, start, tmp_path):
    other = Trainer(dataclasses.replace(SMALL, seed=9), split.training, "cpu")
    EarlyStop(tmp_path, split.validation, patience=0)(other)
    fine_tune(dataclasses.replace(SMALL, epochs=0), split, start, tmp_path, "cpu")
    assert digest(tmp_path) == weights_sha256(start[0]) != weights_sha256(other.average)


def test_a_run_that_has_ended_is_not_trained_on(split, start, tmp_path, monkeypatch):
    config = dataclasses.replace(SMALL, patience=1)
    monkeypatch.setattr(fine_tuning, "_precision_at_1", lambda *arguments: 0.5)
    first = fine_tune(config, split, start, tmp_path, "cpu")
    ended = digest(tmp_path)
    monkeypatch.setattr(Trainer, "train_epoch", None)
    assert fine_tune(config, split, start, tmp_path, "cpu") == first
    assert digest(tmp_path) == ended


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"positives": "views"},
            "fine-tuning learns classes: expected positives = class, got views; leave it out",
        ),
        (
            {"encoder": dataclasses.replace(ARCHITECTURE, embedding_dim=4)},
            "copy has another architecture than the settings; leave out the table [encoder]",
        ),
        (
            {"validation": 0.0},
            "fine-tuning needs validation, a share of the images between 0 and 1, got 0.0; "
            "leave --config out, or add: validation = 0.2",
        ),
    ],
)
def test_settings_that_do_not_go_with_the_start(start, change, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        check_start(dataclasses.replace(SMALL, **change), start[0])
