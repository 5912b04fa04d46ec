"""The average of runs, against NumPy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from average_runs import average

from edgesim.errors import BundleError
from edgesim.models.encoder import Encoder
from edgesim.training.checkpoint import load_encoder


@pytest.fixture
def encoders() -> tuple[Encoder, Encoder]:
    builtin = Path(__file__).parents[2] / "edgesim" / "builtin"
    return load_encoder(builtin / "copy" / "encoder.pt")[0], load_encoder(builtin / "similar" / "encoder.pt")[
        0
    ]


@pytest.mark.parametrize("shares", [(1, 1), (2, 1)])
def test_weights_are_the_means_and_counters_the_last_ones(
    encoders: tuple[Encoder, Encoder], shares: tuple[int, int]
) -> None:
    first, second = ({n: w.numpy().copy() for n, w in encoder.state_dict().items()} for encoder in encoders)
    averaged = average([encoders[0]] * shares[0] + [encoders[1]] * shares[1]).state_dict()
    assert averaged.keys() == first.keys()
    for name, weights in averaged.items():
        counts = name.endswith("num_batches_tracked")
        mean = np.average([first[name], second[name]], axis=0, weights=shares)
        expected = second[name] if counts else mean
        np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6, atol=1e-7)


def test_another_architecture(encoders: tuple[Encoder, Encoder]) -> None:
    first, second = encoders
    first.config = dataclasses.replace(first.config, embedding_dim=first.config.embedding_dim + 1)
    with pytest.raises(BundleError, match="not of one architecture"):
        average([first, second])
