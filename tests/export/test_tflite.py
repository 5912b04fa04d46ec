"""The TFLite file: int8 throughout, with the ranges and the weights of the recipe."""

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgesim.models.encoder import for_export
from edgesim_export.layers import layer_names, select
from edgesim_export.recipe import load_recipe
from edgesim_export.tflite_graph import export_float, float_operators, input_names, operators, take_weights
from edgesim_export.tflite_int8 import TfliteGraph
from edgesim_export.weights import round_weights, second_moments
from tests.export.small import channels_first, images, small_encoder

RECIPE = load_recipe("tflite_static_w8a8_pc")
PICTURES = images(12)


def quantise(model, recipe=RECIPE, keep=()):
    graph = TfliteGraph(model)
    ranges = graph.ranges(PICTURES, recipe) if recipe.mode == "static" else {}
    return graph.quantise(recipe, ranges, select(graph.operators, keep, "recipe")).content


@pytest.fixture(scope="module")
def encoder():
    encoder = for_export(small_encoder())
    round_weights(encoder, second_moments(encoder, PICTURES), RECIPE.weight_levels)
    return encoder


@pytest.fixture(scope="module")
def float_model(encoder):
    return export_float(encoder)


@pytest.fixture(scope="module")
def int8_model(float_model):
    return quantise(float_model)


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
    assert quantise(float_model) == int8_model


def weights_of(model):
    """Return scales and values of every constant with two axes or more, in the order of the file."""
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    found = []
    for tensor in tree.subgraphs[0].tensors:
        content = tree.buffers[tensor.buffer].data
        kind = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT8: np.int8}.get(tensor.type)
        if content is not None and kind is not None and len(tensor.shape) > 1:
            values = np.frombuffer(bytes(content), kind).reshape(tensor.shape)
            found.append((tensor.quantization.scale if tensor.quantization else None, values))
    return found


def test_one_scale_for_each_layer_is_its_largest_weight(float_model):
    found = weights_of(quantise(float_model, load_recipe("tflite_static_w8a8_pt")))
    expected = sorted(float(np.abs(values).max()) / 127 for _, values in weights_of(float_model))
    assert len(found) == len(expected) == 10
    assert all(len(scales) == 1 and values.dtype == np.int8 for scales, values in found)
    np.testing.assert_allclose(sorted(float(scales[0]) for scales, _ in found), expected, rtol=1e-5)


def test_layers_are_those_of_the_encoder(encoder, float_model):
    found = layer_names(operators(float_model))
    modules = dict(encoder.named_modules())
    assert set(found) - {"mean"} <= set(modules)
    weighted = {
        name for name, layer in modules.items() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)
    }
    assert weighted <= set(found)


@pytest.mark.parametrize(
    ("keep", "in_float"),
    [
        ("GELU", {"GELU", "QUANTIZE", "DEQUANTIZE"}),
        ("embedding", {"FULLY_CONNECTED", "DEQUANTIZE"}),
        ("stages.2", {"CONV_2D", "PAD", "ADD", "GELU", "QUANTIZE", "DEQUANTIZE"}),
    ],
)
def test_what_is_kept_is_in_float_and_nothing_else(float_model, keep, in_float):
    model = quantise(float_model, keep=[keep])
    assert set(float_operators(model)) == in_float
    kept = [o for o in operators(float_model) if keep in (o.kind, o.layer) or o.layer.startswith(f"{keep}.")]
    assert len(float_operators(model)) - sum(
        float_operators(model).count(kind) for kind in ("QUANTIZE", "DEQUANTIZE")
    ) == len(kept)


def test_weights_are_taken_from_the_other_graph_for_the_named_layers_alone(float_model):
    other = export_float(for_export(small_encoder()))
    (conv,) = (o.key for o in operators(float_model) if (o.layer, o.kind) == ("stages.3.conv", "CONV_2D"))
    mixed, mine, theirs = (
        [values for _, values in weights_of(m)]
        for m in (take_weights(float_model, other, {conv}), float_model, other)
    )
    differing = [not np.array_equal(*pair) for pair in zip(mine, mixed, strict=True)]
    assert sum(differing) == 1
    assert mine[differing.index(True)].shape == (16, 3, 3, 8)
    np.testing.assert_array_equal(mixed[differing.index(True)], theirs[differing.index(True)])
    assert quantise(take_weights(float_model, other, set())) == quantise(float_model)
