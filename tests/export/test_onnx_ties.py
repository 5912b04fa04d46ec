"""Sums and products of int8 tensors: no result on a tie, seen by loops over all pairs of numbers."""

import itertools
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgesim_export.onnx_ties import MARGIN, separate_ties

ZEROS = {"a": 128, "b": 3, "out": 120}


def graph(operation, scales, zeros=ZEROS, dtype=np.uint8):
    """Return int8 a and b -> int8 out, by way of float."""
    constants = {
        f"{name}_{part}": numpy_helper.from_array(np.asarray(value), f"{name}_{part}")
        for name in scales
        for part, value in (("scale", np.float32(scales[name])), ("zero", dtype(zeros[name])))
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["a", "a_scale", "a_zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["b", "b_scale", "b_zero"], ["y"]),
        helper.make_node(operation, ["x", "y"], ["z"]),
        helper.make_node("QuantizeLinear", ["z", "out_scale", "out_zero"], ["out"]),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = {name: helper.make_tensor_value_info(name, kind, ["n"]) for name in ("a", "b", "out")}
    made = helper.make_graph(
        nodes, "sum", [values["a"], values["b"]], [values["out"]], list(constants.values())
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def scale_of(model, name):
    return next(float(numpy_helper.to_array(t)) for t in model.graph.initializer if t.name == f"{name}_scale")


def near_ties(operation, scales):
    """Return how many pairs of numbers come out within the margin of a tie, by exact fractions."""
    first, second, out = (Fraction(float(np.float32(scales[name]))) for name in ("a", "b", "out"))
    found = 0
    for a, b in itertools.product(range(256), repeat=2):
        x, y = (a - ZEROS["a"]) * first, (b - ZEROS["b"]) * second
        steps = (x + y if operation == "Add" else x * y) / out + ZEROS["out"]
        beside = steps - Fraction(1, 2)
        off = abs(beside - round(beside))
        found += bool(off < Fraction(MARGIN) and 0 <= round(beside) < 255)
    return found


@pytest.mark.parametrize(
    ("operation", "scales"),
    [
        ("Add", {"a": 0.5, "b": 1.0, "out": 1.0}),
        ("Add", {"a": 0.0321034, "b": 0.0495796, "out": 0.0391141}),
        ("Mul", {"a": 0.25, "b": 0.5, "out": 0.25}),
    ],
)
def test_no_pair_is_left_on_a_tie(operation, scales):
    assert near_ties(operation, scales) > 0
    model = graph(operation, scales)
    separate_ties(model)
    after = {name: scale_of(model, name) for name in scales}
    assert near_ties(operation, after) == 0
    assert (after["a"], after["b"]) == (float(np.float32(scales["a"])), float(np.float32(scales["b"])))
    assert 1 < after["out"] / scales["out"] < 1.01


def fused_and_not(scales):
    """Return all sums by float32 arithmetic in two orders of rounding, as CPUs have them."""
    first, second = (np.float32(scales[name]) / np.float32(scales["out"]) for name in ("a", "b"))
    a, b = (np.arange(256, dtype=np.float32) - np.float32(ZEROS[name]) for name in ("a", "b"))
    right = b[None] * second + np.float32(ZEROS["out"])
    apart = a[:, None] * first + right
    fused = (a.astype(np.float64)[:, None] * np.float64(first) + right).astype(np.float32)
    return [np.clip(np.rint(value), 0, 255) for value in (apart, fused)]


def test_fusing_changes_no_sum():
    scales = {"a": 0.0321034, "b": 0.0495796, "out": 0.039004}
    model = graph("Add", scales)
    apart, fused = fused_and_not(scales)
    assert (apart != fused).any()
    separate_ties(model)
    apart, fused = fused_and_not({name: scale_of(model, name) for name in scales})
    assert (apart == fused).all()
    # And ONNX Runtime, on this CPU, computes just that.
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pairs = np.array(list(itertools.product(range(256), repeat=2)), np.uint8).T
    (found,) = session.run(None, {"a": pairs[0], "b": pairs[1]})
    assert (found.reshape(256, 256) == apart).all()


def test_what_has_no_ties_and_what_is_no_such_sum_stay():
    model = graph("Add", {"a": 0.5, "b": 1.0, "out": 1.0})
    separate_ties(model)
    again = onnx.ModelProto()
    again.CopyFrom(model)
    separate_ties(again)
    assert again == model
    other = graph("Max", {"a": 0.5, "b": 1.0, "out": 1.0})
    before = other.SerializeToString()
    separate_ties(other)
    assert other.SerializeToString() == before
