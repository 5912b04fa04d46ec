"""Multiply-accumulates and bytes of model files, against counts by hand and by the network itself."""

import numpy as np
import onnx
import pytest
from encoder_costs.model_costs import file_cost
from onnx import TensorProto, helper, numpy_helper

from edgesim.builtin import bundle_folder, checkpoint_path
from edgesim.errors import InputError
from edgesim.models.cost import layer_cost
from edgesim.models.encoder import for_export
from edgesim.training.checkpoint import load_encoder
from tests.runtime.tflite_files import Tensor, tflite_file

# 3x3 convolution of 3 channels to 4, stride 2; the same per channel; 64 numbers to 10.
CONVOLUTION = 27 * (4 * 4 * 4), 8 * 8 * 3 + 4 * 4 * 4 + 4 * 27
DEPTHWISE = 9 * (4 * 4 * 4), 64 + 64 + 9 * 4
LINEAR = 64 * 10, 64 + 10 + 640


@pytest.mark.parametrize(("dtype", "width", "arithmetic"), [(np.int8, 1, "int8"), (np.float32, 4, "float32")])
def test_a_tflite_file_is_counted_as_by_hand(tmp_path, dtype, width, arithmetic):
    shapes = [(1, 8, 8, 3), (4, 3, 3, 3), (1, 4, 4, 4), (1, 3, 3, 4), (1, 4, 4, 4), (10, 64), (1, 10)]
    operators = [("CONV_2D", [0, 1], 2), ("DEPTHWISE_CONV_2D", [2, 3], 4), ("FULLY_CONNECTED", [4, 5], 6)]
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite_file([Tensor(shape, dtype) for shape in shapes], operators))
    cost = file_cost(path)
    macs, numbers = np.sum([CONVOLUTION, DEPTHWISE, LINEAR], axis=0)
    assert (cost.macs, cost.moved_bytes, cost.arithmetic) == (macs, width * numbers, arithmetic)
    assert cost.macs / cost.moved_bytes == pytest.approx(macs / (width * numbers))


def onnx_file(path, quantised=False, side="side"):
    """Write a grouped 3x3 convolution of 4 channels to 6, stride 2, the mean, 6 numbers to 5 and 5 to 7."""
    weights = {"kernel": (6, 2, 3, 3), "linear": (5, 6), "product": (5, 7)}
    constants = [
        numpy_helper.from_array(np.zeros(shape, np.int8 if quantised else np.float32), name)
        for name, shape in weights.items()
    ]
    scale = numpy_helper.from_array(np.float32(0.5), "scale")
    nodes = [
        helper.make_node(
            "Conv", ["images", "kernel_"], ["map"], group=2, strides=[2, 2], pads=[1] * 4, kernel_shape=[3, 3]
        ),
        helper.make_node("ReduceMean", ["map", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "linear_"], ["numbers"], transB=1),
        helper.make_node("MatMul", ["numbers", "product_"], ["out"]),
    ]
    for name in reversed(weights):
        kind = ("DequantizeLinear", [name, "scale"]) if quantised else ("Identity", [name])
        nodes.insert(0, helper.make_node(*kind, [f"{name}_"]))
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 4, side, side])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 7])],
        [*constants, scale, axes],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


@pytest.mark.parametrize(("quantised", "width", "arithmetic"), [(True, 1, "int8"), (False, 4, "float32")])
def test_an_onnx_file_of_any_size_is_counted_for_one_image(tmp_path, quantised, width, arithmetic):
    cost = file_cost(onnx_file(tmp_path / "model.onnx", quantised), side=10)
    assert cost.macs == 2 * 9 * (6 * 5 * 5) + 6 * 5 + 5 * 7
    numbers = (4 * 10 * 10 + 6 * 5 * 5 + 6 * 18) + (6 + 5 + 30) + (5 + 7 + 35)
    assert (cost.moved_bytes, cost.arithmetic) == (width * numbers, arithmetic)


def test_a_size_in_the_file_stands(tmp_path):
    assert file_cost(onnx_file(tmp_path / "model.onnx", side=10), side=99).macs == 2 * 9 * 150 + 30 + 35


@pytest.mark.parametrize("model", ["model.onnx", "model.tflite"])
def test_a_bundle_computes_what_its_network_does(model):
    encoder, spec = load_encoder(checkpoint_path("copy"))
    assert (
        file_cost(bundle_folder("copy") / model).macs == layer_cost(for_export(encoder), spec.input_size).macs
    )


def test_shapes_that_are_not_known_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"model\.onnx: the shapes around Conv are not known$"):
        file_cost(onnx_file(tmp_path / "model.onnx"))


def test_products_that_are_not_counted_are_refused(tmp_path):
    path = tmp_path / "model.tflite"
    tensors = [Tensor((1, 2, 2), np.float32), Tensor((1, 2, 2), np.float32), Tensor((1, 2, 2), np.float32)]
    path.write_bytes(tflite_file(tensors, [("BATCH_MATMUL", [0, 1], 2)]))
    with pytest.raises(InputError, match=r"BATCH_MATMUL multiplies, and is not counted; teach"):
        file_cost(path)
