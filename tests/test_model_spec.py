"""ModelSpec: what is written is read back, and its identity depends on every field and on the weights."""

import dataclasses
import hashlib
import json
from typing import Any

import pytest

from edgesim.errors import BundleError
from edgesim.model_spec import PREPROCESS_VERSION, ModelSpec

SPEC = ModelSpec(
    name="spec-1",
    input_size=96,
    embedding_dim=32,
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
    preprocess_version=7,
)


def test_to_dict_holds_plain_json_types() -> None:
    values = SPEC.to_dict()
    assert values == {
        "name": "spec-1",
        "input_size": 96,
        "embedding_dim": 32,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "preprocess_version": 7,
    }
    assert json.loads(json.dumps(values)) == values


def test_round_trip_through_json() -> None:
    assert ModelSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


def test_defaults_are_filled_in() -> None:
    spec = ModelSpec.from_dict({"name": "short", "input_size": 64, "embedding_dim": 16})
    assert spec.mean == (0.485, 0.456, 0.406)
    assert spec.std == (0.229, 0.224, 0.225)
    assert spec.preprocess_version == PREPROCESS_VERSION


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(BundleError) as caught:
        ModelSpec.from_dict({**SPEC.to_dict(), "input_sise": 1})
    assert str(caught.value) == "model spec has an unknown key 'input_sise'; did you mean 'input_size'?"


def test_a_missing_key_is_named() -> None:
    values = SPEC.to_dict()
    del values["embedding_dim"]
    with pytest.raises(BundleError) as caught:
        ModelSpec.from_dict(values)
    assert str(caught.value) == "model spec lacks the key 'embedding_dim'"


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.input_size = 1  # type: ignore[misc]


def test_encoder_id_is_the_start_of_a_sha256() -> None:
    text = (
        '{"spec": {"embedding_dim": 32, "input_size": 96, "mean": [0.1, 0.2, 0.3], "name": "spec-1", '
        '"preprocess_version": 7, "std": [0.4, 0.5, 0.6]}, "weights": "beef"}'
    )
    assert SPEC.encoder_id("beef") == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "spec-2"},
        {"input_size": 97},
        {"embedding_dim": 33},
        {"mean": (0.1, 0.2, 0.30001)},
        {"std": (0.4, 0.5, 0.60001)},
        {"preprocess_version": 8},
    ],
)
def test_encoder_id_changes_with_every_field(change: dict[str, Any]) -> None:
    assert dataclasses.replace(SPEC, **change).encoder_id("beef") != SPEC.encoder_id("beef")


def test_encoder_id_changes_with_the_weights() -> None:
    assert SPEC.encoder_id("beef") != SPEC.encoder_id("bead")
