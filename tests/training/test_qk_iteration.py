"""The two sides and their turns: keys, K-steps, losses against plain arithmetic, and whole runs."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from tqdm import tqdm

from edgesim.errors import UsageError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig, embed_pixels
from edgesim.models.stages import Stage
from edgesim.preprocess import resize_pixels
from edgesim.training import key_pictures, metric_learning
from edgesim.training.checkpoint import load_encoder, save_encoder, weights_sha256
from edgesim.training.config import TrainingConfig
from edgesim.training.copy_augment import CopyAugment
from edgesim.training.datasets import ImageSet
from edgesim.training.key_pictures import KeyPictures
from edgesim.training.metric_learning import Trainer, train
from edgesim.training.qk import FixedKeys, nearest_key_loss
from edgesim.training.qk_iteration import KeySide, QKConfig, QKIteration
from tests.helpers import photo
from tests.training.pictures import corner_squares
from tests.training.runs import check_resumes, digest

CPU = torch.device("cpu")
ENCODER = EncoderConfig(
    input_size=16,
    embedding_dim=8,
    stages=(Stage(kind="conv", width=8, stride=2), Stage(kind="conv", width=8, stride=2)),
)
SPEC = ModelSpec(name="small", input_size=16, embedding_dim=8)
SMALL = TrainingConfig(
    loss="qk",
    positives="views",
    augmentation="copies",
    epochs=4,
    batch_size=16,
    views=1,
    warmup_epochs=1.0,
    learning_rate=5e-3,
    encoder=ENCODER,
    qk=QKConfig(key_steps=2, key_queries=24, temperature=0.1),
)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def images():
    return corner_squares(48, 120)


def encoder(seed=0, embedding_dim=8):
    torch.manual_seed(seed)
    return Encoder(dataclasses.replace(ENCODER, embedding_dim=embedding_dim)).eval()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "teacher"
    run.mkdir()
    save_encoder(run / "encoder.pt", encoder(seed=9), SPEC)
    return str(run)


def iteration(images, config, teacher="", seed=0):
    return QKIteration(
        config, encoder(), SPEC, images.pixels, CPU, precision="float32", seed=seed, teacher=teacher
    )


def queries(count=12):
    made = functional.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(5)), dim=1)
    return made, torch.arange(count) * 3


@pytest.mark.parametrize("size", [16, 24])
def test_keys_are_the_encoders_descriptors_in_16_bits(size):
    pixels = np.random.default_rng(0).integers(0, 256, (20, size, size, 3)).astype(np.uint8)
    side = KeySide(encoder(), SPEC, pixels, CPU, "float32")
    side.renew()
    expected = torch.from_numpy(embed_pixels(encoder(), SPEC, resize_pixels(pixels, 16)))
    assert side.keys.table.dtype == side.features.dtype == torch.bfloat16
    torch.testing.assert_close(side.keys.rows(slice(0, 20)), expected, rtol=0.02, atol=0.01)


def test_a_side_takes_an_encoder_over_and_leaves_it_alone(images):
    other, side = encoder(seed=1), KeySide(encoder(), SPEC, images.pixels, CPU, "float32")
    side.take_over(other)
    expected = torch.from_numpy(embed_pixels(other, SPEC, images.pixels))
    torch.testing.assert_close(side.keys.rows(slice(0, 48)), expected, rtol=0.02, atol=0.01)
    before = weights_sha256(other)
    side.learn(*queries(), QKConfig(key_steps=3, key_learning_rate=0.1), seed=0)
    assert weights_sha256(other) == before != weights_sha256(side.encoder)


def test_k_steps_lower_the_loss_by_the_head_alone(images):
    side, config = KeySide(encoder(), SPEC, images.pixels, CPU, "float32"), QKConfig(key_learning_rate=0.02)
    side.renew()
    before = {name: value.clone() for name, value in side.encoder.state_dict().items()}
    given, targets = queries()
    losses = [nearest_key_loss(given, side.keys, targets, temperature=config.temperature)]
    side.learn(given, targets, config, seed=0)
    losses.append(nearest_key_loss(given, side.keys, targets, temperature=config.temperature))
    assert losses[1] < losses[0] - 1
    changed = {
        name for name, value in side.encoder.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"embedding.weight", "embedding.bias"}
    assert not any(parameter.requires_grad for parameter in side.encoder.parameters())


def test_the_seed_of_the_k_steps_decides_which_queries_they_meet(images):
    given = functional.normalize(torch.randn(300, 8, generator=torch.Generator().manual_seed(5)), dim=1)
    tables = []
    for seed in (1, 1, 2):
        side = KeySide(encoder(), SPEC, images.pixels, CPU, "float32")
        side.renew()
        side.learn(given, torch.arange(300) % 48, QKConfig(key_steps=2, key_learning_rate=0.1), seed)
        tables.append(side.keys.table)
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])


def test_rows_of_crops():
    images = np.full((3, 24, 24, 3), np.array([10, 100, 200])[:, None, None, None], dtype=np.uint8)
    images[:, :12] += 20
    before = images.copy()
    pictures = KeyPictures(images, 3, seed=1)
    made = pictures[:]
    assert (len(pictures), made.shape, made.dtype) == (9, (9, 24, 24, 3), np.uint8)
    np.testing.assert_array_equal(made[:3], images)  # crop 0 is the whole
    for row, crop in enumerate(made):
        low = (10, 100, 200)[row % 3]
        assert low <= crop.min() <= crop.max() <= low + 20
    np.testing.assert_array_equal(images, before)
    assert not np.array_equal(KeyPictures(images, 3, seed=2)[3:9], made[3:])


@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("size", [8, 16])
def test_all_crops_at_another_size(crops, size, monkeypatch):
    monkeypatch.setattr(key_pictures, "_PART", 4)
    pictures = KeyPictures(np.stack([photo(seed, 16, 16) for seed in range(3)]), crops, seed=1)
    np.testing.assert_array_equal(pictures.resized(size), resize_pixels(pictures[:], size))


@pytest.mark.parametrize("rows", [slice(2, 7), slice(7, 100), np.array([8, 0, 4, 8])], ids=str)
def test_crops_are_the_same_whenever_they_are_looked_at(rows):
    pictures = KeyPictures(np.stack([photo(seed, 16, 16) for seed in range(3)]), 3, seed=1)
    np.testing.assert_array_equal(pictures[rows], pictures[:][rows])
    assert len(np.unique(pictures[:], axis=0)) == 9


def test_views_of_crops_are_to_land_on_the_keys_of_their_crops(images, teacher, monkeypatch):
    """What the views of a step are made of, and whose keys they are compared with."""
    shown, asked = [], []
    monkeypatch.setattr(CopyAugment, "batch", lambda self, pixels, seed: shown.append(pixels) or pixels)
    loss = QKIteration.loss
    monkeypatch.setattr(
        QKIteration, "loss", lambda self, views, rows: asked.append(rows.numpy()) or loss(self, views, rows)
    )
    config = dataclasses.replace(
        SMALL,
        epochs=1,
        teacher=teacher,
        qk=QKConfig(keys="teacher", teacher_negatives=False, crops=3, views_of_crops=True),
    )
    trainer = Trainer(config, images, "cpu")
    trainer.train_epoch(tqdm(disable=True))
    assert sorted(np.concatenate(asked)) == list(range(3 * 48))
    pictures = KeyPictures(images.pixels, 3, config.seed)
    for rows in asked:  # views are made ahead, in two threads
        assert any(np.array_equal(pictures[rows], pixels) for pixels in shown)
    wholes = Trainer(
        dataclasses.replace(config, qk=dataclasses.replace(config.qk, views_of_crops=False)), images, "cpu"
    )
    assert wholes.steps_per_epoch * 3 == trainer.steps_per_epoch


def test_crops_of_an_image_are_not_its_negatives(images):
    qk = iteration(images, QKConfig(crops=3))
    assert qk.sources.tolist() == [*range(48)] * 3
    qk.begin(encoder(), *queries(), epoch=0)
    assert len(qk.own.keys) == 3 * 48
    given, targets = queries()
    table = qk.own.keys.rows(slice(0, 144))
    losses = []
    for query, image in zip(given, targets.tolist(), strict=True):
        negatives = [row for row in range(144) if row % 48 != image]
        logits = -(query - table[[image, *negatives]]).square().sum(1) / (2 * 0.05)
        losses.append(torch.logsumexp(logits, 0) - logits[0])
    assert qk.loss(given, targets).item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_both_keys_are_the_mean_of_the_two_losses(images, teacher):
    config = QKConfig(temperature=0.1, teacher_temperature=0.3)
    given, targets = queries()
    losses = {}
    for keys in ("own", "teacher", "both"):
        qk = iteration(images, dataclasses.replace(config, keys=keys), "" if keys == "own" else teacher)
        assert qk.queries_wanted == (0 if keys == "teacher" else 4096)
        qk.begin(encoder(), given, targets, epoch=0)
        losses[keys] = qk.loss(given, targets).item()
    # The teacher stays as it is: no K-step changes its keys.
    described = FixedKeys(torch.from_numpy(embed_pixels(load_encoder(Path(teacher))[0], SPEC, images.pixels)))
    expected = nearest_key_loss(given, described, targets, temperature=0.3).item()
    assert losses["teacher"] == pytest.approx(expected, rel=0.01)
    assert losses["both"] == pytest.approx((losses["own"] + losses["teacher"]) / 2, rel=1e-6)
    assert losses["own"] != losses["teacher"]


def test_without_the_teachers_negatives_it_is_imitated(images, teacher):
    config = QKConfig(keys="teacher", teacher_negatives=False, crops=2)
    given, targets = queries()
    given.requires_grad_()
    loss = iteration(images, config, teacher).loss(given, targets)
    loss.backward()
    described = torch.from_numpy(embed_pixels(load_encoder(Path(teacher))[0], SPEC, images.pixels))[targets]
    assert loss.item() == pytest.approx(1 - (given * described).sum(1).mean().item(), abs=0.01)
    torch.testing.assert_close(given.grad, -described / len(given), rtol=0.02, atol=1e-3)


def test_without_k_steps_no_views_are_wanted(images):
    qk = iteration(images, QKConfig(key_steps=0))
    assert qk.queries_wanted == 0
    qk.begin(encoder(seed=1), torch.empty(0, 8), torch.empty(0, dtype=torch.long), epoch=0)
    assert weights_sha256(qk.own.encoder) == weights_sha256(encoder(seed=1))


@pytest.mark.parametrize(
    ("keys", "given", "message"),
    [
        ("own", True, "keys = own takes no teacher; leave --teacher out, or set keys = both"),
        ("teacher", False, "keys = teacher needs a teacher; pass --teacher RUN, or set keys = own"),
        ("both", False, "keys = both needs a teacher; pass --teacher RUN, or set keys = own"),
    ],
)
def test_keys_and_teacher_must_go_together(images, teacher, keys, given, message):
    with pytest.raises(UsageError, match=f"^{message}$"):
        iteration(images, QKConfig(keys=keys), teacher if given else "")


def test_a_teacher_of_other_descriptors_is_refused(images, tmp_path):
    spec = dataclasses.replace(SPEC, embedding_dim=5)
    save_encoder(tmp_path / "encoder.pt", encoder(embedding_dim=5), spec)
    message = (
        f"teacher {tmp_path}: its descriptors have 5 numbers, the student's 8; "
        "give both the same embedding_dim"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        iteration(images, QKConfig(keys="teacher"), str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": "any"}, "keys must be one of own, teacher, both, got 'any'"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"teacher_temperature": -1.0}, "teacher_temperature must be above 0, got -1.0"),
        ({"key_learning_rate": 0.0}, "key_learning_rate must be above 0, got 0.0"),
        ({"key_steps": -1}, "key_steps must be at least 0, got -1"),
        ({"key_queries": 0}, "key_queries must be at least 1, got 0"),
        ({"crops": 0}, "crops must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        QKConfig(**changes)


def test_an_interrupted_run_resumes_to_the_same_weights(images, tmp_path, monkeypatch):
    train(dataclasses.replace(SMALL, seed=1), images, None, tmp_path / "other", "cpu")
    check_resumes(SMALL, images, tmp_path, monkeypatch)
    assert digest(tmp_path / "other") != digest(tmp_path / "whole")


@pytest.mark.parametrize("augmentation", ["copies", "tensors"])
def test_a_run_learns_to_find_copies(tmp_path, augmentation):
    pixels = np.stack([photo(seed, 16, 16) for seed in range(64)])
    pictures = ImageSet(pixels, np.arange(64), tuple(map(str, range(64))))
    found = []
    for epochs in (0, 20):
        config = dataclasses.replace(SMALL, augmentation=augmentation, epochs=epochs, learning_rate=0.02)
        metrics = train(config, pictures, pictures, tmp_path / str(epochs), "cpu")
        found.append(metrics["recall_at_1"])
    assert found[1] > found[0] + 0.1


def test_each_iteration_renews_the_keys_by_the_averaged_encoder(images, monkeypatch):
    seen = []
    begin = QKIteration.begin

    def watched(self, query, queries, targets, epoch):
        seen.append((query, queries, targets, epoch))
        begin(self, query, queries, targets, epoch)

    monkeypatch.setattr(QKIteration, "begin", watched)
    trainer = Trainer(SMALL, images, "cpu")
    bar = metric_learning.tqdm(disable=True)
    trainer.train_epoch(bar)
    trainer.train_epoch(bar)
    assert [(call[0] is trainer.average, call[3]) for call in seen] == [(True, 0), (True, 1)]
    for _, made, targets, _ in seen:
        assert len(set(targets.tolist())) == 24
        torch.testing.assert_close(made.norm(dim=1), torch.ones(24))
    assert not torch.equal(seen[0][2], seen[1][2])
    assert trainer.encoder.training


def test_several_processes_are_refused(images, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"^loss = qk runs in one process; start it without torchrun$"):
        Trainer(SMALL, images, "cpu")
