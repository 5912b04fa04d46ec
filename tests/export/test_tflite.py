"""The TFLite file: int8 throughout, with the ranges and the weights of the recipe."""

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter

from edgesim.models.encoder import for_export
from edgesim_export.recipe import load_recipe
from edgesim_export.tflite_graph import export_float, float_operators, input_names
from edgesim_export.tflite_int8 import quantise
from edgesim_export.weights import round_weights
from tests.export.small import channels_first, images, small_encoder

RECIPE = load_recipe("tflite_static_w8a8_pc")
PICTURES = images(12)


@pytest.fixture(scope="module")
def encoder():
    encoder = for_export(small_encoder())
    round_weights(encoder, PICTURES, RECIPE.weight_levels)
    return encoder


@pytest.fixture(scope="module")
def float_model(encoder):
    return export_float(encoder)


@pytest.fixture(scope="module")
def int8_model(float_model):
    return quantise(float_model, PICTURES, RECIPE)


@pytest.fixture(scope="module")
def tensors(int8_model):
    interpreter = Interpreter(model_content=int8_model)
    interpreter.allocate_tensors()
    return interpreter.get_tensor_details(), interpreter.get_tensor


def test_the_float_model_computes_what_pytorch_does(encoder, float_model):
    interpreter = Interpreter(model_content=float_model)
    interpreter.allocate_tensors()
    (one,), (other,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(one["index"], PICTURES[:1])
    interpreter.invoke()
    with torch.no_grad():
        expected = encoder(channels_first(PICTURES[:1])).numpy()
    np.testing.assert_allclose(interpreter.get_tensor(other["index"]), expected, rtol=0, atol=1e-5)


def test_int8_in_and_out_channels_last(int8_model):
    interpreter = Interpreter(model_content=int8_model)
    (one,), (other,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (one["dtype"], one["shape"].tolist()) == (np.int8, [1, 32, 32, 3])
    assert (other["dtype"], other["shape"].tolist()) == (np.int8, [1, 16])


def test_no_tensor_is_float(tensors):
    details, _ = tensors
    assert {detail["dtype"] for detail in details} == {np.int8, np.int32}


def test_operators_left_in_float_are_named(float_model, int8_model):
    assert float_operators(int8_model) == []
    found = float_operators(float_model)
    assert found.count("GELU") == 5
    assert {"CONV_2D", "MUL", "FULLY_CONNECTED", "MEAN"} <= set(found)


def test_weights_are_the_integers_of_the_rounding(encoder, tensors):
    details, get_tensor = tensors
    stored = [get_tensor(d["index"]) for d in details if len(d["quantization_parameters"]["scales"]) > 1]
    stored = [array for array in stored if array.dtype == np.int8]
    expected = []
    for parameter in (p.detach().numpy().astype(np.float64) for p in encoder.parameters() if p.ndim > 1):
        axes = tuple(range(1, parameter.ndim))
        integers = np.rint(parameter / np.abs(parameter).max(axis=axes, keepdims=True) * 127)
        expected.append(integers.transpose(0, 2, 3, 1) if integers.ndim == 4 else integers)
    assert len(stored) == len(expected) == 10
    for array in expected:
        assert any(array.shape == s.shape and np.array_equal(array, s) for s in stored)


def test_ranges_by_hand(encoder, float_model, tensors):
    details, _ = tensors
    scales = {detail["name"]: detail["quantization"] for detail in details}
    scale, zero_point = next(q for name, q in scales.items() if name.startswith("serving_default_args"))
    low, high = float(PICTURES.min()), float(PICTURES.max())
    assert scale == pytest.approx((high - low) / 255, rel=1e-5)
    assert zero_point == round(-128 - low / scale)
    outputs = []
    hooks = [
        layer.register_forward_hook(lambda _, entry, __: outputs.append(entry[0]))
        for layer in encoder.modules()
        if isinstance(layer, torch.nn.GELU)
    ]
    with torch.no_grad():
        encoder(channels_first(PICTURES))
    for hook in hooks:
        hook.remove()
    lowest = []
    for name, output in zip(input_names(float_model, "GELU"), outputs, strict=True):
        low, high = float(output.min()), float(output.max())
        assert scales[name][0] == pytest.approx((high - max(low, -3.0)) / 255, rel=1e-4)
        lowest.append(low)
    assert min(lowest) < -3.0 < max(lowest)


def test_the_same_input_gives_the_same_bytes(float_model, int8_model):
    assert quantise(float_model, PICTURES, RECIPE) == int8_model
