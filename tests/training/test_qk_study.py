"""The study: its rows and figures, the copies that it measures on, and what a perfect encoder reaches."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.errors import InputError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder
from edgesim.training import qk_study
from edgesim.training.checkpoint import weights_sha256
from edgesim.training.qk_study import METHODS, StudySettings, run_study
from tests.helpers import photo

TINY = StudySettings(epochs=1, batch_size=32, source_size=20, input_size=16, key_steps=2)
ROWS = ["qk", "qk_query_model", "qk_one_head", "simclr", "moco"]
FIGURES = {"micro_ap", "recall_at_p90", "recall_at_1"}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pixels():
    return np.stack([photo(seed, 20, 20) for seed in range(100)])


@pytest.fixture(scope="module")
def results(pixels):
    torch.set_num_threads(1)
    runs = []
    return run_study(pixels, TINY, 1, lambda: runs.append(len(runs))), runs


def test_every_row_has_the_figures_of_every_seed(results):
    found, runs = results
    assert list(found) == ROWS
    assert runs == [*range(len(METHODS))]
    for figures in found.values():
        assert len(figures) == 1
        assert set(figures[0]) == FIGURES
        assert all(0 <= value <= 1 for value in figures[0].values())
    # The key model is not the query model, which only the row of its own is measured by.
    assert found["qk"] != found["qk_query_model"]


def test_the_seed_decides(pixels, results, monkeypatch):
    monkeypatch.setattr(qk_study, "METHODS", ("qk", "moco"))
    again = run_study(pixels, TINY, 2)
    for row, figures in again.items():
        assert figures[0] == results[0][row][0]
        assert figures[1] != figures[0]


@pytest.mark.parametrize("one_head", [False, True])
def test_the_last_key_model_has_the_last_query_models_backbone_and_a_head_of_its_own(pixels, one_head):
    run = qk_study._Run(pixels[:40], TINY, 0)
    start = weights_sha256(run.query)
    key = qk_study._train_qk(run, one_head)
    assert weights_sha256(run.query) != start
    other = {
        name.split(".")[0]
        for name, value in key.state_dict().items()
        if not torch.equal(value, run.query.state_dict()[name])
    }
    assert other == (set() if one_head else {"embedding"})


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11])
def test_a_run_of_any_length_takes_its_steps(pixels, steps):
    run = qk_study._Run(pixels[:40], dataclasses.replace(TINY, epochs=steps), 0)
    rates = []
    for _ in range(steps):
        rates.append(run.schedule.get_last_lr()[0])
        run.step(run.describe(torch.arange(4)).sum())
    assert max(rates) <= TINY.learning_rate
    assert min(rates) >= 0


def test_every_method_meets_as_many_views(pixels, monkeypatch):
    seen = []
    views = qk_study._Run.views
    monkeypatch.setattr(
        qk_study._Run,
        "views",
        lambda run, rows: (seen.append((len(rows), run.query.training)), views(run, rows))[1],
    )
    trained = {}
    for method in METHODS:
        seen.clear()
        qk_study._TRAINERS[method](qk_study._Run(pixels[:64], TINY, 0))
        trained[method] = sum(count for count, training in seen if training)
    # MoCo's key model describes a view of each image besides; nothing is learnt through it.
    assert trained == {"qk": 64, "qk_one_head": 64, "simclr": 64, "moco": 128}


def test_the_copies_by_hand():
    pixels = np.stack([photo(seed, 20, 20) for seed in range(7)])
    copies = qk_study._Copies.of(pixels, seed=3)
    # 4 of 7 are references; of each of these 4 a copy, then of each of the 7.
    np.testing.assert_array_equal(copies.references, pixels[:4])
    assert copies.queries.shape == (11, 20, 20, 3)
    assert copies.truth.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3], [4, 0], [5, 1], [6, 2], [7, 3]]
    assert not any(np.array_equal(copies.queries[query], pixels[row]) for query, row in copies.truth)
    assert not np.array_equal(copies.queries[0], copies.queries[4])
    np.testing.assert_array_equal(copies.queries, qk_study._Copies.of(pixels, seed=3).queries)
    assert not np.array_equal(copies.queries, qk_study._Copies.of(pixels, seed=4).queries)


class Perfect(nn.Module):
    """Knows the image of each query: their first pixels hold its number, as the test writes it there."""

    def __init__(self, spec):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.spec = spec

    def embed(self, images):
        red = images[:, 0, 0, 0] * self.spec.std[0] + self.spec.mean[0]
        return nn.functional.one_hot((red * 255).round().long(), 64).float()


def numbered(numbers):
    return np.broadcast_to(np.array(numbers, np.uint8)[:, None, None, None], (len(numbers), 16, 16, 3))


def test_a_perfect_encoder_reaches_1():
    spec = ModelSpec(name="perfect", input_size=16, embedding_dim=64)
    truth = np.array([[0, 0], [1, 1], [2, 0], [3, 1]])
    # Queries 4 and 5 are of images that are no references.
    copies = qk_study._Copies(numbered([8, 9]), numbered([8, 9, 8, 9, 30, 31]), truth)
    perfect = Perfect(spec)
    assert copies.measure(perfect, perfect, spec) == dict.fromkeys(FIGURES, 1.0)
    # One true copy is missed, the others come before all false ones: 3 of 4.
    missed = qk_study._Copies(numbered([8, 9]), numbered([8, 9, 8, 40, 30, 31]), truth)
    figures = missed.measure(perfect, perfect, spec)
    assert figures["recall_at_1"] == figures["recall_at_p90"] == 0.75
    assert 0.75 <= figures["micro_ap"] < 1


def test_query_and_key_model_describe_their_side():
    spec = ModelSpec(name="perfect", input_size=16, embedding_dim=64)

    class Shifted(Perfect):
        def embed(self, images):
            return super().embed(images).roll(1, dims=1)

    copies = qk_study._Copies(numbered([8, 9]), numbered([9, 10]), np.array([[0, 0], [1, 1]]))
    assert copies.measure(Perfect(spec), Shifted(spec), spec)["recall_at_1"] == 1.0
    assert copies.measure(Shifted(spec), Perfect(spec), spec)["recall_at_1"] == 0.0


def test_the_architecture_is_that_for_photographs_at_the_studys_size():
    assert Encoder(TINY.encoder).config.input_size == 16
    assert TINY.encoder.stages == StudySettings().encoder.stages
    assert StudySettings().encoder.input_size == 64


def test_too_few_images(pixels):
    message = r"^99 usable images, the study needs 100 at least; better are some thousand$"
    with pytest.raises(InputError, match=message):
        run_study(pixels[:99], TINY, 1)
