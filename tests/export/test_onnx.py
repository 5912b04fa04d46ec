"""The ONNX files: the float graph is exact, the int8 one is what the recipe says."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgesim.models.encoder import for_export
from edgesim_export.onnx_graph import export_float
from edgesim_export.onnx_int8 import _float_operators, convert, float_operators
from edgesim_export.recipe import load_recipe
from edgesim_export.weights import round_weights
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
    assert not int8.metadata_props
    for element in (*int8.graph.node, *int8.graph.initializer):
        assert not element.metadata_props
        assert not element.doc_string
    assert all(not tensor.external_data for tensor in int8.graph.initializer)


def test_weights_are_the_integers_of_the_rounding(tmp_path):
    pictures, encoder = images(), for_export(small_encoder())
    round_weights(encoder, pictures, 64)
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
        assert scale == pytest.approx((high - max(low, -3.0)) / 255, rel=1e-4)
        lowest.append(low)
    # The rule is put to the test from both sides.
    assert min(lowest) < -3.0 < max(lowest)


def test_the_same_input_gives_the_same_bytes():
    encoder, pictures = for_export(small_encoder()), images(8)
    first, second = (convert(encoder, pictures, RECIPE) for _ in range(2))
    assert first.content == second.content


def test_float_operators_of_a_float_model(float_file):
    found = float_operators(float_file)
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
