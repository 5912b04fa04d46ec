"""The ONNX files: the float graph is exact, the int8 one is what the recipe says."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgesim.builtin import ENCODERS, bundle_folder
from edgesim.bundle import Bundle
from edgesim.errors import UsageError
from edgesim.models.encoder import for_export
from edgesim_export.conversion import convert
from edgesim_export.layers import layer_names
from edgesim_export.onnx_graph import export_float
from edgesim_export.onnx_int8 import OnnxGraph, _float_operators, float_operators
from edgesim_export.onnx_ties import separate_ties
from edgesim_export.recipe import load_recipe
from edgesim_export.weights import round_weights, second_moments
from tests.export.small import CONFIG, SPEC, channels_first, images, small_encoder

RECIPE = load_recipe("onnx_static_w8a8_pc")


def run(model, inputs):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": inputs})[0]


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "float.onnx"
    export_float(for_export(small_encoder()), path)
    return path


@pytest.fixture(scope="module")
def int8(bundle):
    return onnx.load(bundle.model_path("onnx"))


@pytest.fixture(scope="module")
def initializers(int8):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in int8.graph.initializer}


def quantiser_of(model, initializers, tensor):
    """Return scale and zero point of the quantiser that reads a tensor."""
    (node,) = (n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == tensor)
    return float(initializers[node.input[1]]), int(initializers[node.input[2]])


@pytest.mark.parametrize("batch", [1, 3])
def test_the_float_graph_computes_what_pytorch_does(float_file, batch):
    inputs = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(batch))
    with torch.no_grad():
        expected = small_encoder()(inputs).numpy()
    np.testing.assert_allclose(run(float_file, inputs.numpy()), expected, rtol=0, atol=1e-5)


def test_the_float_graph_has_gelu_as_one_operator(float_file):
    types = [node.op_type for node in onnx.load(float_file).graph.node]
    assert types.count("Gelu") == 5
    assert "Erf" not in types


def test_inputs_and_outputs_of_the_int8_model(int8):
    def described(value):
        kind = value.type.tensor_type
        return value.name, kind.elem_type, [d.dim_param or d.dim_value for d in kind.shape.dim]

    (one,), (other,) = int8.graph.input, int8.graph.output
    assert described(one) == ("images", TensorProto.FLOAT, ["batch", 3, 32, 32])
    assert described(other) == ("embeddings", TensorProto.FLOAT, ["batch", 16])
    assert [(entry.domain, entry.version) for entry in int8.opset_import] == [("", 20)]


def test_an_image_has_the_same_embedding_in_every_batch(bundle):
    inputs = channels_first(images(4)).numpy()
    together = run(bundle.model_path("onnx"), inputs)
    alone = np.concatenate([run(bundle.model_path("onnx"), image[None]) for image in inputs])
    np.testing.assert_array_equal(together, alone)


def test_nothing_is_carried_that_no_runtime_reads(int8):
    assert not int8.graph.value_info
    assert not int8.graph.metadata_props
    for element in (*int8.graph.node, *int8.graph.initializer):
        assert not element.metadata_props
        assert not element.doc_string
    assert all(not tensor.external_data for tensor in int8.graph.initializer)


def test_weights_are_the_integers_of_the_rounding(tmp_path):
    pictures, encoder = images(), for_export(small_encoder())
    round_weights(encoder, second_moments(encoder, pictures), 64)
    path = tmp_path / "int8.onnx"
    path.write_bytes(convert(encoder, pictures, RECIPE).content)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    for name, parameter in encoder.named_parameters():
        if name.endswith("weight"):
            rows = parameter.detach().numpy().astype(np.float64)
            axes = tuple(range(1, rows.ndim))
            expected = np.rint(rows / np.abs(rows).max(axis=axes, keepdims=True) * 64)
            assert stored[f"{name}_quantized"].dtype == np.int8
            np.testing.assert_array_equal(stored[f"{name}_quantized"], expected)


def test_ranges_are_the_extremes_of_all_calibration_images(int8, initializers, bundle):
    # Calibrated on arrays that the fixture does not show, but black and white are among its colours.
    low, high = (0 - np.array(SPEC.mean)) / SPEC.std, (1 - np.array(SPEC.mean)) / SPEC.std
    scale, zero_point = quantiser_of(int8, initializers, "images")
    assert scale == pytest.approx((high.max() - low.min()) / 255, rel=0.02)
    assert zero_point == pytest.approx(-low.min() / scale, abs=2)


def test_ranges_by_hand(tmp_path):
    encoder, pictures = for_export(small_encoder()), images(10)
    path = tmp_path / "int8.onnx"
    path.write_bytes(convert(encoder, pictures, RECIPE).content)
    model = onnx.load(path)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    scale, zero_point = quantiser_of(model, stored, "images")
    assert scale == pytest.approx((pictures.max() - pictures.min()) / 255, rel=1e-6)
    assert zero_point == round(-pictures.min() / scale)
    before_gelu = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.GELU)]
    outputs = {}
    for layer in before_gelu:
        layer.register_forward_hook(lambda at, entry, _: outputs.update({at: entry[0]}))
    with torch.no_grad():
        encoder(channels_first(pictures))
    names = [n.input[0] for n in model.graph.node if n.op_type == "Gelu"]
    producers = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    producers |= {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    lowest = []
    for name, layer in zip(names, before_gelu, strict=True):
        low, high = float(outputs[layer].min()), float(outputs[layer].max())
        scale, _ = quantiser_of(model, stored, producers[producers[name]])
        # A little larger where a sum would lie on a tie: edgesim_export.onnx_ties.
        assert 1 - 1e-4 < scale / ((high - max(low, -3.0)) / 255) < 1.01
        lowest.append(low)
    # The rule is put to the test from both sides.
    assert min(lowest) < -3.0 < max(lowest)


def test_the_same_input_gives_the_same_bytes():
    encoder, pictures = for_export(small_encoder()), images(8)
    first, second = (convert(encoder, pictures, RECIPE) for _ in range(2))
    assert first.content == second.content


def test_float_operators_of_a_float_model(float_file):
    found = float_operators(onnx.load(float_file))
    assert {"Conv", "Mul", "Pad"} <= set(found)


def test_float_operators_follow_the_type_through_the_graph():
    nodes = [
        helper.make_node("Transpose", ["x"], ["a"]),
        helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"]),
        helper.make_node("QLinearConv", ["c"], ["d"]),
        helper.make_node("QGemm", ["d"], ["e"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["e", "scale", "zero"], ["f"]),
        helper.make_node("Gelu", ["f"], ["g"]),
        helper.make_node("Gelu", ["g"], ["h"]),
    ]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])], []
    )
    assert _float_operators(graph) == ["Gelu", "Gelu", "Transpose"]


def test_an_encoder_without_gelu_leaves_less_in_float():
    config = dataclasses.replace(CONFIG, activation="relu", stages=CONFIG.stages[1:])
    model = convert(for_export(small_encoder(config)), images(8), RECIPE)
    assert set(model.float_operators) == {"ReduceMean"}


@pytest.fixture(scope="module")
def graph():
    return OnnxGraph.of(for_export(small_encoder()))


def test_layers_are_those_of_the_encoder(graph):
    found = layer_names(graph.operators)
    modules = dict(for_export(small_encoder()).named_modules())
    assert set(found) - {"mean"} <= set(modules)
    weighted = {
        name for name, layer in modules.items() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)
    }
    assert weighted <= set(found)


def test_one_scale_for_each_layer_is_its_largest_weight():
    pictures, encoder, recipe = images(), for_export(small_encoder()), load_recipe("onnx_static_w8a8_pt")
    round_weights(encoder, second_moments(encoder, pictures), 64, per_tensor=True)
    model = onnx.load_from_string(convert(encoder, pictures, recipe).content)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, parameter in encoder.named_parameters():
        if name.endswith("weight"):
            weights = parameter.detach().numpy().astype(np.float64)
            scale = np.abs(weights).max() / 64
            assert stored[f"{name}_scale"].shape == ()
            assert stored[f"{name}_scale"] == pytest.approx(scale, rel=1e-5)
            np.testing.assert_array_equal(stored[f"{name}_quantized"], np.rint(weights / scale))


def test_a_layer_that_is_kept_has_float_weights_and_the_others_have_not():
    recipe = dataclasses.replace(RECIPE, keep_float=("stages.3.conv", "Gemm"))
    encoder = for_export(small_encoder())
    model = convert(encoder, images(8), recipe)
    stored = {
        t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(model.content).graph.initializer
    }
    for name, parameter in encoder.named_parameters():
        if name.endswith("weight"):
            kept = name in ("stages.3.conv.weight", "embedding.weight")
            assert (f"{name}_quantized" in stored) != kept
            if kept:
                np.testing.assert_array_equal(stored[name], parameter.detach().numpy())
    assert {"Conv", "Gemm"} <= set(model.float_operators)


def test_a_layer_that_the_encoder_lacks():
    recipe = dataclasses.replace(RECIPE, keep_float=("stages.9.conv",))
    with pytest.raises(UsageError) as caught:
        convert(for_export(small_encoder()), images(8), recipe)
    assert str(caught.value) == (
        "onnx_static_w8a8_pc: keep_float: no layer or operator 'stages.9.conv'; did you mean 'stages.4.conv'?"
    )


def test_weights_alone_in_int8_compute_what_pytorch_does_with_them(tmp_path):
    recipe, encoder = load_recipe("onnx_weights_w8a32_pc"), for_export(small_encoder())
    model = convert(encoder, images(8), recipe)
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if name.endswith("weight"):
                rows = weight.flatten(1)
                scale = rows.abs().amax(1, keepdim=True) / 127
                weight.copy_(((rows / scale).round() * scale).view_as(weight))
        expected = encoder(channels_first(images(3, start=50))).numpy()
    actual = run(model.content, channels_first(images(3, start=50)).numpy())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def assert_without_ties(model):
    assert {"Add", "Mul"} & {node.op_type for node in model.graph.node}
    separated = onnx.ModelProto()
    separated.CopyFrom(model)
    separate_ties(separated)
    assert separated == model


def test_no_sum_lies_on_a_tie(int8):
    assert_without_ties(int8)


@pytest.mark.parametrize("name", ENCODERS)
def test_nor_does_one_of_the_built_in_encoders(name):
    assert_without_ties(onnx.load(Bundle.load(bundle_folder(name)).model_path("onnx")))
