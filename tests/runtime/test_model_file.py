"""Model files that a native engine must not be handed: cut off, foreign, or leading outside of themselves."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper

from edgesim.builtin import ENCODERS, bundle_folder, is_shipped
from edgesim.bundle import MODEL_FILES, Bundle
from edgesim.bundle_writing import write_bundle
from edgesim.cli.main import main
from edgesim.errors import BundleError
from edgesim.manifest import MANIFEST, manifest_text
from edgesim.runtime.engines import load_backend
from edgesim.runtime.model_file import check_model_file
from edgesim.runtime.onnx_structure import check_onnx
from edgesim.runtime.tflite_structure import check_tflite
from tests.helpers import INSTALLED_ENGINES, TinyEncoder, run_python
from tests.runtime.tflite_files import Tensor, tflite_file

ONNX = TinyEncoder().onnx()
TFLITE = tflite_file(
    [
        Tensor((1, 4, 4, 3), np.float32),
        Tensor((2,), np.int32, data=np.array([1, 2])),
        Tensor((1, 3), np.float32),
        Tensor((16, 3), np.float32, data=np.ones((16, 3))),
        Tensor((16,), np.float32, data=np.ones(16)),
        Tensor((1, 16), np.float32),
    ],
    [("MEAN", [0, 1], 2), ("FULLY_CONNECTED", [2, 3, 4], 5)],
)
WEIGHTS = np.ones((16, 3), np.float32).tobytes()


def bundle_with(folder: Path, name: str, content: bytes) -> Bundle:
    """A bundle whose manifest fits, as somebody who means harm would make it."""
    spec = TinyEncoder().spec()
    model_format = "onnx" if name == MODEL_FILES["onnx"] else "tflite"
    return write_bundle(
        folder,
        spec=spec,
        encoder_id="hostile",
        models={model_format: {"file": name, "quantisation": "none"}},
        recipe={},
        gates=[],
        made_by={},
        files={name: content},
    )


def refusal(content: bytes, check: Callable[[bytes], None]) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        check(content)
    assert type(caught.value) is ValueError
    return str(caught.value)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("model_format", MODEL_FILES)
def test_the_built_in_models_pass(encoder: str, model_format: str) -> None:
    check_model_file(bundle_folder(encoder) / MODEL_FILES[model_format], model_format)


@pytest.mark.parametrize("check", [check_onnx, check_tflite])
@pytest.mark.parametrize("content", [b"", b"no model", bytes(100), b"\xff" * 100, b"PK\3\4" + bytes(60)])
def test_what_is_no_model_at_all(check: Callable[[bytes], None], content: bytes) -> None:
    assert "not a" in refusal(content, check)


def test_each_is_not_the_other() -> None:
    assert refusal(ONNX, check_tflite) == "not a TFLite file"
    assert refusal(TFLITE, check_onnx).startswith("not an ONNX file")


def test_an_onnx_file_cut_off_anywhere() -> None:
    check_onnx(ONNX)
    # What follows the graph is the opset; a file without it is whole, and for the engine to refuse.
    (opset,) = onnx.load_model_from_string(ONNX).opset_import
    end = len(ONNX) - opset.ByteSize() - 2
    for length in range(end):
        assert refusal(ONNX[:length], check_onnx)
    check_onnx(ONNX[:end])


def test_a_tflite_file_cut_off_anywhere() -> None:
    check_tflite(TFLITE)
    for length in range(len(TFLITE)):
        assert refusal(TFLITE[:length], check_tflite)


# ONNX: weights that lie elsewhere.


def external(location: str) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="conv", data_type=TensorProto.FLOAT, dims=[8, 3, 3, 3])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def in_initializer(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    (old,) = [t for t in model.graph.initializer if t.name == "conv"]
    model.graph.initializer.remove(old)
    model.graph.initializer.append(tensor)


def in_constant(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["extra"], value=tensor))


def in_branch(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    branch = helper.make_graph([helper.make_node("Constant", [], ["b"], value=tensor)], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch))


def in_function(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    node = helper.make_node("Constant", [], ["f"], value=tensor)
    opset = helper.make_opsetid("", 18)
    model.functions.append(helper.make_function("own", "F", [], ["f"], [node], [opset]))


def in_sparse(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.sparse_initializer.add(values=tensor, dims=[8])


def in_list_of_tensors(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.node[0].attribute.add(name="extra").tensors.append(tensor)


def in_list_of_graphs(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.node[0].attribute.add(name="extra").graphs.add().initializer.append(tensor)


def in_sparse_attribute(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.node[0].attribute.add(name="extra").sparse_tensor.indices.CopyFrom(tensor)


def in_list_of_sparse_tensors(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.node[0].attribute.add(name="extra").sparse_tensors.add().values.CopyFrom(tensor)


def in_default_of_a_function(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.functions.add(name="F").attribute_proto.add(name="extra").t.CopyFrom(tensor)


def in_training(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.training_info.add().initialization.initializer.append(tensor)


def in_training_step(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.training_info.add().algorithm.initializer.append(tensor)


PLACES = [
    *(in_initializer, in_constant, in_branch, in_function, in_sparse, in_list_of_tensors, in_list_of_graphs),
    *(
        in_sparse_attribute,
        in_list_of_sparse_tensors,
        in_default_of_a_function,
        in_training,
        in_training_step,
    ),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "/etc/passwd"])
def test_onnx_weights_in_another_file(place: Callable[..., None], location: str) -> None:
    model = onnx.load_model_from_string(ONNX)
    tensor = external(location)
    place(model, tensor)
    message = refusal(model.SerializeToString(), check_onnx)
    assert message == "it keeps weights in another file, which edgesim never reads"


def test_a_hostile_bundle_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load_model_from_string(ONNX)
    in_initializer(model, external("../../etc/passwd"))
    bundle = bundle_with(tmp_path / "bundle", "model.onnx", model.SerializeToString())
    assert main(["bundle", "verify", str(bundle.folder)]) == 4
    assert capsys.readouterr().err == (
        f"edgesim: {bundle.folder / 'model.onnx'}: refused, it keeps weights in another file, which edgesim "
        "never reads; get the bundle again, from somebody you trust\n"
    )


def test_nesting_without_end_is_no_trouble() -> None:
    # A graph in an attribute of a node of a graph, ten thousand deep.
    inner = b""
    for _ in range(10_000):
        for key in (0x32, 0x2A, 0x0A):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            inner = bytes([key]) + varint(len(inner)) + inner
    check_onnx(b"\x3a" + varint(len(inner)) + inner)


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


# TFLite: offsets, sizes and numbers.


def changed(**changes: Callable[[Any], None]) -> bytes:
    """Return TFLITE with changes to its model, graph, an operator or a tensor."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(TFLITE))
    graph = model.subgraphs[0]
    parts = {"model": model, "graph": graph, "operator": graph.operators[1], "tensor": graph.tensors[3]}
    for part, change in changes.items():
        change(parts[part])
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def setting(**values: Any) -> Callable[[Any], None]:
    return lambda part: [setattr(part, name, value) for name, value in values.items()] and None


def test_writing_the_model_again_changes_nothing_that_matters() -> None:
    check_tflite(changed())


BUFFER = TFLITE.index(struct.pack("<I", len(WEIGHTS)) + WEIGHTS)
LARGEST = len(TFLITE) - BUFFER - 4


def with_buffer_of(size: int) -> bytes:
    return TFLITE[:BUFFER] + struct.pack("<I", size) + TFLITE[BUFFER + 4 :]


@pytest.mark.parametrize("size", [LARGEST + 1, len(TFLITE), 2**31 - 1, 2**32 - 1])
def test_a_buffer_of_absurd_size(size: int) -> None:
    check_tflite(with_buffer_of(LARGEST))
    assert refusal(with_buffer_of(size), check_tflite) == (
        "the TFLite file is cut off or damaged: a list does not end within it"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensor": setting(buffer=99)}, "names a buffer that it does not hold"),
        ({"operator": setting(inputs=[2, 99, 4])}, "names a tensor that it does not hold"),
        ({"operator": setting(outputs=[-2])}, "names a tensor that it does not hold"),
        ({"operator": setting(opcodeIndex=2)}, "names an operator that it does not hold"),
        ({"graph": setting(inputs=[6])}, "names a tensor that it does not hold"),
        ({"graph": setting(outputs=[-1])}, "names a tensor that it does not hold"),
        ({"tensor": setting(shape=[2**20, 2**20])}, "has a tensor of more than 268435456 numbers"),
        (
            {"tensor": setting(sparsity=schema.SparsityParametersT())},
            "has a Tensor with fields that edgesim never",
        ),
        ({"model": setting(subgraphs=[])}, "holds no graph"),
        (
            {"model": setting(externalBuffers=[schema.ExternalBufferT()])},
            "has a Model with fields that edgesim never reads",
        ),
    ],
)
def test_numbers_that_lead_outside(changes: dict[str, Any], message: str) -> None:
    assert refusal(changed(**changes), check_tflite).startswith(f"the TFLite file {message}")


def test_weights_behind_the_tables_that_do_not_end() -> None:
    def place_outside(model: Any) -> None:
        model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 100, 2**40

    message = refusal(changed(model=place_outside), check_tflite)
    assert message == "the TFLite file is cut off or damaged: weights do not end within it"


def test_an_operator_left_out_by_minus_one_is_fine() -> None:
    check_tflite(changed(operator=setting(inputs=[2, 3, -1])))


def test_any_byte_changed_is_refused_or_passed_but_no_other_error() -> None:
    for place in range(len(TFLITE)):
        for value in (0x00, 0x7F, 0xFF):
            damaged = TFLITE[:place] + bytes([value]) + TFLITE[place + 1 :]
            with contextlib.suppress(ValueError):
                check_tflite(damaged)


@pytest.mark.parametrize("engine", [e for e in INSTALLED_ENGINES if e != "onnxruntime"])
def test_a_cut_tflite_file_does_not_kill_the_process(tmp_path: Path, engine: str) -> None:
    content = (bundle_folder("copy") / "model.tflite").read_bytes()
    bundle = bundle_with(tmp_path / "bundle", "model.tflite", content[: len(content) // 2])
    result = run_python("-m", "edgesim", "bundle", "verify", bundle.folder, "--engine", engine)
    assert result.returncode == 4
    assert result.stderr.startswith(
        f"edgesim: {bundle.folder / 'model.tflite'}: refused, the TFLite file is cut"
    )
    assert result.stderr.count("\n") == 1


def test_an_empty_and_a_missing_file(tmp_path: Path, tiny_bundle: Bundle) -> None:
    (tmp_path / "model.onnx").touch()
    for name in ("model.onnx", "gone.onnx"):
        with pytest.raises(BundleError) as caught:
            check_model_file(tmp_path / name, "onnx")
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)


def test_the_engine_never_sees_what_is_refused(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    bundle = Bundle.load(tmp_path / "bundle")
    bundle.model_path("onnx").write_bytes(b"no model")
    monkeypatch.setattr("edgesim.runtime.onnx_backend.OnnxBackend", lambda *_: pytest.fail("loaded"))
    with pytest.raises(BundleError, match="refused, not an ONNX file"):
        load_backend(bundle)


@pytest.mark.parametrize("engine", INSTALLED_ENGINES)
def test_what_ships_is_not_looked_over_again_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    looked_over: list[Path] = []
    monkeypatch.setattr("edgesim.runtime.engines.check_model_file", lambda path, _: looked_over.append(path))
    shutil.copytree(bundle_folder("copy"), tmp_path / "copy")
    bundle = Bundle.load(tmp_path / "copy")
    load_backend(bundle, engine)
    assert not looked_over
    # The same files, but another said so.
    manifest = json.loads((bundle.folder / MANIFEST).read_bytes())
    del manifest["sha256"]
    (bundle.folder / MANIFEST).write_bytes(manifest_text({**manifest, "made_by": {"somebody": "else"}}))
    load_backend(Bundle.load(bundle.folder), engine)
    assert [path.parent for path in looked_over] == [bundle.folder]


def test_nothing_ships_where_the_built_in_encoders_were_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = Bundle.load(bundle_folder("similar")).manifest_sha256
    assert is_shipped(digest)
    shutil.copytree(bundle_folder("similar"), tmp_path / "similar" / "bundle")
    monkeypatch.setattr("edgesim.builtin._FOLDER", tmp_path)
    assert is_shipped(digest)
    shutil.rmtree(tmp_path / "similar")
    assert not is_shipped(digest)
