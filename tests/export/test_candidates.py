"""The rule that picks a recipe, on a table made by hand."""

import dataclasses

import pytest

from edgesim.machine import Machine
from edgesim.profiles import load_profile
from edgesim_export import candidates
from edgesim_export.candidates import Candidate, choose, remarks
from edgesim_export.recipe import load_recipe
from edgesim_export.validate import Gate


def candidate(name, milliseconds, cosine, fails=(), **changes):
    values = {"bytes": 900, "cosine_mean": cosine, "cosine_worst": cosine - 0.1, "recall_at_1_loss": 0.5}
    gates = [
        Gate(gate=gate, model="x", value=value, limit=1, passed=gate not in fails)
        for gate, value in values.items()
    ]
    return Candidate(
        recipe=load_recipe(name), engine="litert", milliseconds=milliseconds, gates=gates, **changes
    )


STATIC, PERCENTILE, FLOAT, WEIGHTS = (
    f"tflite_{name}" for name in ("static_w8a8_pc", "static_w8a8_pc_p9999", "float32", "weights_w8a32_pc")
)


@pytest.mark.parametrize(
    ("table", "picked"),
    [
        # The fastest, where the others are clearly slower.
        ([(STATIC, 1.0, 0.99), (FLOAT, 2.0, 1.0)], STATIC),
        # As fast within a tenth: then the nearer one.
        ([(STATIC, 1.0, 0.99), (PERCENTILE, 1.1, 0.995), (FLOAT, 1.11, 1.0)], PERCENTILE),
        # Float wins where int8 brings nothing.
        ([(STATIC, 1.05, 0.99), (FLOAT, 1.0, 1.0)], FLOAT),
        # What fails a gate is out, and is no measure of fast either.
        ([(STATIC, 0.5, 0.9, ["cosine_mean"]), (WEIGHTS, 1.0, 0.999), (FLOAT, 0.9, 1.0, ["bytes"])], WEIGHTS),
        ([(STATIC, 1.0, 0.9, ["cosine_mean"]), (PERCENTILE, 1.5, 0.99), (FLOAT, 1.6, 1.0)], FLOAT),
        # None passes: fewest gates, then cosine.
        (
            [
                (STATIC, 1.0, 0.9, ["cosine_mean", "bytes"]),
                (WEIGHTS, 3.0, 0.95, ["bytes"]),
                (FLOAT, 4.0, 1.0, ["bytes"]),
            ],
            FLOAT,
        ),
    ],
)
def test_the_rule(table, picked):
    assert choose([candidate(*row) for row in table]).recipe.name == picked


def test_the_table_says_what_was_measured_and_what_failed():
    row = candidate(STATIC, 1.23456, 0.99, ["bytes"], picked=True)
    assert row.to_dict() == {
        "recipe": STATIC,
        "format": "tflite",
        "engine": "litert",
        "bytes": 900,
        "cosine_mean": 0.99,
        "cosine_worst": 0.89,
        "recall_at_1_loss": 0.5,
        "milliseconds": 1.235,
        "failed": ["bytes"],
        "picked": True,
    }


def test_float_that_is_as_fast_is_said_plainly_even_if_it_is_not_picked():
    rows = [candidate(STATIC, 2.0, 0.99, picked=True), candidate(FLOAT, 1.5, 1.0, ["bytes"])]
    assert remarks(rows, None) == [
        f"tflite: {STATIC}, the nearest to the float encoder of those that pass and take at most 10% longer "
        "than the fastest of them",
        f"tflite: int8 is not faster here, {FLOAT} takes 1.50 ms and the fastest int8, {STATIC}, 2.00 ms; "
        f"but {FLOAT} fails bytes",
        "ms: CPU time of one embedding on this machine; one thread, median of 31 in turns",
    ]
    rows[1] = dataclasses.replace(rows[1], milliseconds=2.5)
    assert not any("int8 is not faster" in line for line in remarks(rows, None))


def test_none_that_passes_is_said(monkeypatch):
    rows = [candidate(STATIC, 1.0, 0.9, ["cosine_mean"], picked=True)]
    assert remarks(rows, None)[0] == f"tflite: no recipe passes its gates, {STATIC} comes nearest"


def test_times_of_another_machine_are_called_so(monkeypatch):
    profile = load_profile("pi-4b")
    here = Machine(
        **{**{f.name: None for f in dataclasses.fields(Machine)}, "architecture": "x86_64", "features": ()}
    )
    monkeypatch.setattr(candidates, "read_machine", lambda: here)
    assert remarks([candidate(STATIC, 1.0, 0.99, picked=True)], profile)[-1] == (
        "ms: CPU time of one embedding on this machine, not on the device (this machine is x86_64, the "
        "device aarch64): the order may differ there; one thread, median of 31 in turns"
    )
