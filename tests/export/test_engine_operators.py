"""Which engine runs a model file: the table of tflite-runtime, the limits of onnxruntime, and loading."""

import dataclasses
import importlib

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim_export.engine_operators import (
    TFLITE_RUNTIME_VERSIONS,
    Verdict,
    judge,
    onnx_beyond,
    tflite_operators,
)
from tests.helpers import INSTALLED_ENGINES, TinyEncoder
from tests.runtime.tflite_files import Tensor, tflite_file


def changed(content, change):
    """Return a TFLite file with a change to its model."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def single_operator(code, version):
    """Return a TFLite file that names one operator, and has no tensors."""

    def name(model):
        model.subgraphs[0].tensors = model.subgraphs[0].operators = []
        model.subgraphs[0].inputs = model.subgraphs[0].outputs = []
        operator = model.operatorCodes[0]
        operator.builtinCode, operator.deprecatedBuiltinCode, operator.version = code, min(code, 127), version

    return changed(QUANTIZE, name)


QUANTIZE = tflite_file([Tensor((1,), np.float32), Tensor((1,), np.int8, 0.1)], [("QUANTIZE", [0], 1)])


def tflite_bundle(folder, content):
    """A bundle object, not written by `write_bundle`, around one model file."""
    folder.mkdir()
    (folder / "model.tflite").write_bytes(content)
    built_in = Bundle.load(bundle_folder("copy"))
    return dataclasses.replace(built_in, folder=folder, models={"tflite": built_in.models["tflite"]})


@pytest.fixture
def absent(monkeypatch):
    """Pretend that no engine is installed."""
    monkeypatch.setattr("edgesim_export.engine_operators.available_engines", list)


@pytest.mark.parametrize("engine", sorted({"litert", "tflite-runtime"} & set(INSTALLED_ENGINES)))
def test_the_table_is_what_the_engines_themselves_say(engine):
    interpreter = {"litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}[engine]
    module = importlib.import_module(f"{interpreter}.interpreter")

    def knows(name, version):
        try:
            module.Interpreter(model_content=single_operator(getattr(schema.BuiltinOperator, name), version))
        except (ValueError, RuntimeError):
            return False
        return True

    assert knows("QUANTIZE", 1)
    for name, newest in TFLITE_RUNTIME_VERSIONS.items():
        if engine == "tflite-runtime":
            assert (newest == 0 or knows(name, newest), knows(name, newest + 1)) == (True, False), name
        else:
            assert knows(name, newest + 1), name


def test_operators_of_a_file_written_by_hand():
    tensors = [
        Tensor((1, 4, 4, 3), np.int8, 0.1),
        Tensor((2,), np.int32, data=np.array([1, 2])),
        Tensor((1, 3), np.int8, 0.1),
        Tensor((1, 3), np.int8, 0.2),
    ]
    content = tflite_file(tensors, [("MEAN", [0, 1], 2), ("QUANTIZE", [2], 3)])
    assert tflite_operators(content) == [("MEAN", 2, "INT8"), ("QUANTIZE", 1, "INT8")]


@pytest.mark.usefixtures("absent")
def test_an_operator_too_new_for_tflite_runtime(tmp_path):
    def modernise(model):
        model.operatorCodes[0].version = 4

    bundle = tflite_bundle(tmp_path / "b", changed(QUANTIZE, modernise))
    assert judge(bundle, "tflite-runtime") == Verdict(
        runs=False, reason="tflite-runtime lacks QUANTIZE version 4"
    )


@pytest.mark.usefixtures("absent")
def test_gelu_in_16_bits_is_known_to_fail_in_tflite_runtime(tmp_path):
    def gelu(model):
        code, number = model.operatorCodes[0], schema.BuiltinOperator.GELU
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, 127, 2
        for tensor in model.subgraphs[0].tensors:
            tensor.type = schema.TensorType.INT16

    bundle = tflite_bundle(tmp_path / "b", changed(QUANTIZE, gelu))
    assert judge(bundle, "tflite-runtime").reason == "tflite-runtime lacks GELU of INT16"


@pytest.mark.usefixtures("absent")
def test_engines_that_are_not_installed():
    bundle = Bundle.load(bundle_folder("copy"))
    assert judge(bundle, "tflite-runtime") == Verdict(
        runs=True, reason="tflite-runtime is not installed here: by its table of operators"
    )
    assert judge(bundle, "litert") == Verdict(runs=None, reason="litert is not installed here")


def test_numpy_2_beside_tflite_runtime(monkeypatch):
    monkeypatch.setattr("edgesim_export.engine_operators.available_engines", lambda: ["tflite-runtime"])
    monkeypatch.setattr("edgesim.runtime.engines.available_engines", lambda: ["tflite-runtime"])
    monkeypatch.setattr(np, "__version__", "2.1.0")
    verdict = judge(Bundle.load(bundle_folder("copy")), "tflite-runtime")
    assert (verdict.runs, verdict.loaded) == (True, False)
    assert verdict.reason == (
        "tflite-runtime does not work here beside this numpy: by its table of operators"
    )


@pytest.mark.parametrize("engine", INSTALLED_ENGINES)
def test_the_built_in_encoder_is_loaded_by_every_engine(engine):
    verdict = judge(Bundle.load(bundle_folder("copy")), engine)
    assert (verdict.runs, verdict.loaded) == (True, True)
    assert verdict.reason.startswith(f"loaded by {engine} ")


def test_a_file_that_the_engine_refuses(tmp_path):
    def unknown(model):
        model.operatorCodes[0].version = 99

    verdict = judge(tflite_bundle(tmp_path / "b", changed(QUANTIZE, unknown)), "litert")
    assert (verdict.runs, verdict.loaded) == (False, False)
    assert "QUANTIZE" in verdict.reason


@pytest.mark.parametrize(
    ("opset", "ir", "found"),
    [
        (21, 10, []),
        (22, 10, ["opset 22"]),
        (18, 11, ["IR version 11"]),
        (23, 12, ["IR version 12", "opset 23"]),
    ],
)
def test_onnx_files_newer_than_the_oldest_onnxruntime(opset, ir, found):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["x"])], "g", [value], [value])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 30)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir)
    assert onnx_beyond(model.SerializeToString()) == found
    assert onnx_beyond(TinyEncoder().onnx()) == []
    assert onnx.load_model_from_string(TinyEncoder().onnx()).ir_version == 8
