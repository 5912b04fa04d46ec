"""The gates, on embeddings whose cosines and recall are known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgesim.errors import GateError
from edgesim_export.converted import ConvertedModel
from edgesim_export.recipe import GateLimits
from edgesim_export.validate import Embeddings, Gate, GatesFailedError, failed, measure

LIMITS = GateLimits(
    max_bytes=101,
    cosine_mean_min=0.9,
    cosine_worst_min=0.8,
    recall_at_1_loss_max=25.0,
    float_ops_allowed=("Gelu",),
)
EXPECTED = Embeddings(references=np.eye(4, dtype=np.float32), queries=np.eye(4, dtype=np.float32))
TRUTH = np.arange(4)


def a_model(size=100, float_operators=()):
    return ConvertedModel(content=bytes(size), float_operators=list(float_operators))


GELU_MODEL = a_model(float_operators=["Gelu", "Gelu"])


def turned(cosine):
    """Return the references with the first one turned by this cosine, towards the second."""
    rows = np.eye(4, dtype=np.float32)
    rows[0, :2] = cosine, np.sqrt(1 - cosine**2)
    return rows


def gates(model=GELU_MODEL, references=EXPECTED.references, queries=EXPECTED.queries):
    actual = Embeddings(references=references, queries=queries)
    return {g.gate: g for g in measure("onnx", model, LIMITS, EXPECTED, actual, TRUTH)}


def test_equal_embeddings_pass():
    found = gates()
    assert {name: (g.value, g.limit, g.passed) for name, g in found.items()} == {
        "bytes": (100, 101, True),
        "cosine_mean": (1.0, 0.9, True),
        "cosine_worst": (1.0, 0.8, True),
        "recall_at_1_loss": (0.0, 25.0, True),
        "float_operators": ("Gelu", "Gelu", True),
    }
    assert failed(list(found.values())) == []


def test_cosines_are_those_of_the_pictures():
    found = gates(references=turned(0.68), queries=turned(0.1))
    assert found["cosine_mean"].value == pytest.approx((3 + 0.68) / 4, abs=1e-5)
    assert found["cosine_worst"].value == pytest.approx(0.68, abs=1e-5)
    assert (found["cosine_mean"].passed, found["cosine_worst"].passed) == (True, False)


def test_recall_loss_is_in_points_and_may_be_reached():
    # Query 0 is now nearest to reference 1: one of four is lost.
    found = gates(queries=turned(0.6))
    assert found["recall_at_1_loss"].value == 25.0
    assert found["recall_at_1_loss"].passed
    both = EXPECTED.queries[[1, 0, 2, 3]]
    assert gates(queries=both)["recall_at_1_loss"].value == 50.0
    assert not gates(queries=both)["recall_at_1_loss"].passed


def test_the_file_must_be_smaller_than_the_limit():
    assert gates(model=a_model(100))["bytes"].passed
    assert not gates(model=a_model(101))["bytes"].passed


def test_an_operator_in_float_that_is_not_allowed():
    gate = gates(model=a_model(float_operators=["Gelu", "Conv", "Conv"]))["float_operators"]
    assert (gate.value, gate.limit, gate.passed) == ("Conv, Gelu", "Gelu", False)
    assert gates(model=a_model())["float_operators"].value == "none"


def test_embeddings_that_are_not_numbers_fail():
    broken = np.full((4, 4), np.nan, dtype=np.float32)
    found = gates(references=broken, queries=broken)
    assert [g.gate for g in found.values() if not g.passed] == [
        "cosine_mean",
        "cosine_worst",
        "recall_at_1_loss",
    ]


def test_the_message_names_every_gate_that_failed():
    found = list(gates(references=turned(0.68), model=a_model(200)).values())
    error = GatesFailedError(found)
    assert isinstance(error, GateError)
    assert (error.gates, error.report) == (found, None)
    assert str(error) == (
        "no bundle was written, 2 of 5 gates failed: onnx bytes is 200, the limit is 101; "
        "onnx cosine_worst is 0.68, the limit is 0.8; "
        "calibrate on images like those that the device will see: --calibration FOLDER; "
        "--force writes the bundle all the same"
    )


def test_the_message_names_the_report_and_gives_no_advice_that_does_not_help():
    found = list(gates(model=a_model(200)).values())
    assert str(GatesFailedError(found, Path("out.report.json"))) == (
        "no bundle was written, 1 of 5 gates failed: onnx bytes is 200, the limit is 101; "
        "see out.report.json; --force writes the bundle all the same"
    )


def test_what_was_not_measured_has_not_failed():
    blank = Gate(gate="latency", model="onnx", value=None, limit=5, passed=None, note="elsewhere")
    assert failed([blank, *gates().values()]) == []
    late = dataclasses.replace(blank, value=6.0, passed=False)
    assert failed([blank, late]) == [late]
