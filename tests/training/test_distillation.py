"""Distillation: its loss against NumPy, what a teacher sees and answers, and which teachers are refused."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from edgesim.errors import BundleError, UsageError
from edgesim.models.encoder import Encoder, EncoderConfig
from edgesim.models.stages import Stage
from edgesim.training.checkpoint import load_torch, save_torch
from edgesim.training.config import AugmentConfig, TrainingConfig
from edgesim.training.datasets import ImageSet
from edgesim.training.distillation import Teacher, distillation_loss, load_teacher
from edgesim.training.losses import NormalisedSoftmaxLoss
from edgesim.training.metric_learning import train

ENCODER = EncoderConfig(
    input_size=8,
    embedding_dim=4,
    stages=(Stage(kind="conv", width=6, stride=2), Stage(kind="conv", width=6)),
)
CONFIG = TrainingConfig(
    loss="ce", epochs=1, batch_size=12, views=4, encoder=ENCODER, augment=AugmentConfig(crop_area_min=0.9)
)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 8, 8, 3)).astype(np.uint8)
    return ImageSet(pixels, np.arange(24) % 3, ("ant", "bee", "cow"))


@pytest.fixture(scope="module")
def teacher_run(images, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "teacher"
    train(dataclasses.replace(CONFIG, seed=1), images, None, run, "cpu")
    return run


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("share", "tau"), [(0.0, 0.2), (0.9, 0.33), (1.0, 0.083)])
def test_the_loss_is_its_formula(share, tau):
    rng = np.random.default_rng(3)
    embeddings, weights = rng.normal(size=(7, 4)), rng.normal(size=(5, 4))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    answers, labels = rng.uniform(-1, 1, (7, 5)), rng.integers(0, 5, 7)
    cosines = embeddings @ (weights / np.linalg.norm(weights, axis=1, keepdims=True)).T
    cross_entropy = -np.log(softmax(cosines / 0.083)[np.arange(7), labels]).mean()
    taught, learnt = softmax(answers / tau), softmax(cosines / tau)
    divergence = (taught * np.log(taught / learnt)).sum(axis=1).mean()
    expected = (1 - share) * cross_entropy + share * (tau / 0.083) ** 2 * divergence

    head = NormalisedSoftmaxLoss(classes=5, embedding_dim=4, temperature=0.083).double()
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights))
    embeddings, labels, answers = map(torch.from_numpy, (embeddings, labels, answers))
    loss = distillation_loss(head, embeddings, labels, answers, share=share, tau=tau)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_a_teacher_answers_with_cosines_of_the_averaged_encoder(images, teacher_run):
    teacher = load_teacher(dataclasses.replace(CONFIG, teacher=str(teacher_run)), images.classes)
    state = load_torch(teacher_run / "checkpoint.pt")
    encoder = Encoder(ENCODER)
    encoder.load_state_dict(state["average"])
    views = torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        embeddings = encoder.eval()(views).numpy()
    weights = state["loss"]["weight"].numpy()
    expected = [[a @ w / np.linalg.norm(a) / np.linalg.norm(w) for w in weights] for a in embeddings]
    answers = teacher(views)
    np.testing.assert_allclose(answers.numpy(), expected, atol=1e-5)
    assert torch.equal(teacher(views[:2]), answers[:2])  # not the batch's statistics: evaluation mode
    assert not answers.requires_grad


def test_views_are_resized_to_the_teachers_input(teacher_run, images):
    teacher = load_teacher(dataclasses.replace(CONFIG, teacher=str(teacher_run)), images.classes)
    seen = []
    teacher.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    plain = torch.rand(2, 3, 1, 1).expand(2, 3, 16, 16)
    teacher(plain)
    assert seen[0].shape == (2, 3, 8, 8)
    torch.testing.assert_close(seen[0], plain[:, :, :8, :8])


def test_the_teachers_precision_is_the_students():
    cosines = {}
    views, weights = torch.rand(4, 3, 8, 8), torch.rand(3, 4)
    encoder = Encoder(ENCODER)
    for precision in ("float32", "bfloat16"):
        cosines[precision] = Teacher(encoder, weights, precision)(views)
        assert cosines[precision].dtype == torch.float32
    assert 0 < (cosines["float32"] - cosines["bfloat16"]).abs().max() < 0.05


def test_a_run_distils(images, teacher_run, tmp_path):
    """With a share of 1 only the teacher counts: it then needs no labels, and they decide nothing."""
    config = dataclasses.replace(CONFIG, teacher=str(teacher_run), distillation_share=1.0, positives="views")
    weights = {}
    for share, labels in ((1.0, 0), (1.0, 1), (0.5, 0), (0.5, 1)):
        config = dataclasses.replace(config, distillation_share=share)
        labelled = dataclasses.replace(images, labels=(images.labels + labels) % 3)
        train(config, labelled, None, tmp_path / f"{share}-{labels}", "cpu")
        weights[share, labels] = load_torch(tmp_path / f"{share}-{labels}" / "checkpoint.pt")["loss"][
            "weight"
        ]
    assert torch.equal(weights[1.0, 0], weights[1.0, 1])
    assert not torch.equal(weights[0.5, 0], weights[0.5, 1])


def refusal(config, classes):
    with pytest.raises(UsageError) as caught:
        load_teacher(config, classes)
    return str(caught.value)


def test_no_such_teacher(tmp_path):
    run = tmp_path / "none"
    config = dataclasses.replace(CONFIG, teacher=str(run))
    expected = f"teacher {run}: no such run; train one with: edgesim train --loss ce --out {run}"
    assert refusal(config, ("a", "b")) == expected


@pytest.mark.parametrize(
    ("classes", "shown"),
    [(("bee", "ant", "cow"), "3 (bee, ant, cow)"), (("ant", "bee", "cow", "dog"), "4 (ant, bee, cow, ...)")],
)
def test_a_teacher_of_other_classes_is_refused(teacher_run, classes, shown):
    config = dataclasses.replace(CONFIG, teacher=str(teacher_run))
    assert refusal(config, classes) == (
        f"teacher {teacher_run}: expected its 3 classes (ant, bee, cow), got {shown}; choose another teacher"
    )


def test_a_teacher_without_class_weights_is_refused(images, tmp_path):
    train(dataclasses.replace(CONFIG, loss="ms"), images, None, tmp_path, "cpu")
    config = dataclasses.replace(CONFIG, teacher=str(tmp_path))
    expected = f"teacher {tmp_path}: expected a run with loss = ce, got ms; choose another"
    assert refusal(config, images.classes) == expected


def test_a_damaged_teacher_is_refused(images, teacher_run, tmp_path):
    (tmp_path / "config.toml").write_bytes((teacher_run / "config.toml").read_bytes())
    state = load_torch(teacher_run / "checkpoint.pt")
    del state["loss"]["weight"]
    save_torch(tmp_path / "checkpoint.pt", state)
    message = f"{tmp_path}/checkpoint.pt: does not fit {tmp_path}/config.toml, or is damaged; train it again"
    with pytest.raises(BundleError, match=re.escape(message)):
        load_teacher(dataclasses.replace(CONFIG, teacher=str(tmp_path)), images.classes)
