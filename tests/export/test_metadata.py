"""The facts in the model files: a stranger who reads them, and no edgesim, gets the golden embeddings."""

import dataclasses
import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.latency_estimate import bundle_cost, bundle_estimates
from edgesim.models.cost import layer_cost
from edgesim.models.encoder import for_export
from edgesim.preprocess import load_pixels
from edgesim.profiles import load_profile
from edgesim.runtime.embedder import Embedder
from edgesim_export.converted import ConvertedModel
from edgesim_export.model_metadata import model_facts, stamp
from edgesim_export.tflite_metadata import metadata_buffer
from tests.export.small import SPEC, small_encoder
from tests.helpers import photo

EXAMPLES = Path(__file__).parents[2] / "export" / "examples"
# Runs an example as its user does, with one interpreter only, and looks whether edgesim was there.
STRANGER = """
import runpy, sys
script, absent, *arguments = sys.argv[1:]
sys.modules[absent] = None
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
assert not [name for name in sys.modules if name.partition(".")[0] in ("edgesim", "edgesim_export")]
"""
# Model format, the engine that edgesim takes for it, and the one that the stranger must do without.
WAYS = [
    ("onnx", "onnxruntime", "ai_edge_litert"),
    ("tflite", "litert", "tflite_runtime"),
    ("tflite", "tflite-runtime", "ai_edge_litert"),
]


def stranger(bundle, model_format, absent, picture):
    script = EXAMPLES / f"embed_{model_format}.py"
    command = [sys.executable, "-I", "-c", STRANGER, script, absent, bundle.model_path(model_format), picture]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return np.array(json.loads(result.stdout), dtype=np.float32)


def test_a_stranger_gets_the_golden_embeddings(bundle, tmp_path):
    (tmp_path / "golden.png").write_bytes(bundle.golden("onnx")[0][1])
    for model_format, engine, absent in WAYS:
        found = stranger(bundle, model_format, absent, tmp_path / "golden.png")
        assert found.shape == (16,)
        if engine != "tflite-runtime":
            np.testing.assert_allclose(found, bundle.golden(model_format)[1][1], rtol=0, atol=1e-6)
        ours = Embedder(bundle, engine).embed_image(tmp_path / "golden.png")
        np.testing.assert_allclose(found, ours, rtol=0, atol=1e-6)


def test_a_stranger_turns_and_shrinks_a_camera_s_photo_as_we_do(bundle, tmp_path):
    # Large enough to be decoded at an eighth, on its side, and not square.
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.fromarray(photo(3)).resize((800, 600), Image.Resampling.BICUBIC)
    large.save(tmp_path / "photo.jpg", exif=exif)
    assert not np.array_equal(load_pixels(tmp_path / "photo.jpg", 32), load_pixels(_bare(large), 32))
    for model_format, engine, absent in WAYS[:2]:
        found = stranger(bundle, model_format, absent, tmp_path / "photo.jpg")
        ours = Embedder(bundle, engine).embed_image(tmp_path / "photo.jpg")
        np.testing.assert_allclose(found, ours, rtol=0, atol=1e-6)


def _bare(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_onnx_properties(bundle):
    meta = onnxruntime.InferenceSession(bundle.model_path("onnx")).get_modelmeta()
    found = meta.custom_metadata_map
    assert found["Image.BitmapPixelFormat"] == "Rgb8"
    assert found["Image.ColorSpaceGamma"] == "SRGB"
    assert found["Image.NominalPixelRange"] == "NominalRange_0_255"
    assert found["edgesim.encoder_id"] == bundle.encoder_id
    assert found["edgesim.layout"] == "NCHW"
    # 255 times ImageNet's 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225, in float32.
    assert found["edgesim.mean"] == "123.675, 116.28, 103.53"
    assert found["edgesim.std"] == "58.395, 57.120003, 57.375"
    assert "author" not in found
    assert "edgesim.licence" not in found
    assert meta.producer_name == "edgesim"
    assert (
        meta.description
        == "Image embedding for similarity search: 32x32 RGB in, 16 numbers out; compare by cosine."
    )


def test_author_and_licence_are_where_viewers_look(bundle):
    facts = model_facts(SPEC, "0" * 16, author="A. Smith", licence="CC0-1.0")
    content = bundle.model_path("onnx").read_bytes()
    model = onnx.load_from_string(
        stamp("onnx", ConvertedModel(content=content, float_operators=[]), facts).content
    )
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert (properties["author"], properties["license"]) == ("A. Smith", "CC0-1.0")
    assert len(properties) == len(model.metadata_props)  # the ones of the export were replaced


class Table:
    """A FlatBuffer table, read by the format's rules, independently of the package `flatbuffers`."""

    def __init__(self, data, at):
        self.data, self.at = data, at
        self.vtable = at - struct.unpack_from("<i", data, at)[0]

    @classmethod
    def root(cls, data):
        return cls(data, struct.unpack_from("<I", data)[0])

    def _field(self, slot):
        if 4 + 2 * slot >= struct.unpack_from("<H", self.data, self.vtable)[0]:
            return None
        offset = struct.unpack_from("<H", self.data, self.vtable + 4 + 2 * slot)[0]
        return self.at + offset if offset else None

    def scalar(self, slot, kind):
        return struct.unpack_from(f"<{kind}", self.data, self._field(slot))[0]

    def _follow(self, at):
        return at + struct.unpack_from("<I", self.data, at)[0]

    def table(self, slot):
        return Table(self.data, self._follow(self._field(slot)))

    def _vector(self, slot):
        at = self._follow(self._field(slot))
        return struct.unpack_from("<I", self.data, at)[0], at + 4

    def raw(self, slot):
        length, at = self._vector(slot)
        return self.data[at : at + length]

    def text(self, slot):
        return None if self._field(slot) is None else self.raw(slot).decode()

    def floats(self, slot):
        length, at = self._vector(slot)
        return struct.unpack_from(f"<{length}f", self.data, at)

    def tables(self, slot):
        length, at = self._vector(slot)
        return [Table(self.data, self._follow(at + 4 * i)) for i in range(length)]


def test_tflite_metadata_follows_the_schema(bundle):
    # Numbers of the fields: tensorflow/lite/schema/schema.fbs and metadata_schema.fbs of the Support Library.
    model = Table.root(bundle.model_path("tflite").read_bytes())
    (entry,) = [entry for entry in model.tables(6) if entry.text(0) == "TFLITE_METADATA"]
    raw = model.tables(4)[entry.scalar(1, "I")].raw(0)
    assert raw[4:8] == b"M001"
    metadata = Table.root(raw)
    assert metadata.text(0) == "small"
    assert metadata.text(1).startswith("Image embedding for similarity search: 32x32 RGB in, 16 numbers out")
    assert (metadata.text(2), metadata.text(7)) == (bundle.encoder_id, "1.0.0")
    assert (metadata.text(4), metadata.text(5)) == (None, None)  # nobody gave author and licence
    assert [(file.text(0), file.scalar(2, "b")) for file in metadata.tables(6)] == [("edgesim.json", 1)]
    (graph,) = metadata.tables(3)
    (picture,), (embedding,) = graph.tables(2), graph.tables(3)
    content = picture.table(3)
    assert content.scalar(0, "B") == 2  # ImageProperties
    image = content.table(1)
    assert image.scalar(0, "b") == 1  # RGB
    assert [image.table(1).scalar(slot, "I") for slot in (0, 1)] == [32, 32]
    (unit,) = picture.tables(4)
    assert unit.scalar(0, "B") == 1  # NormalizationOptions
    assert unit.table(1).floats(0) == pytest.approx((123.675, 116.28, 103.53), rel=1e-6)
    assert unit.table(1).floats(1) == pytest.approx((58.395, 57.12, 57.375), rel=1e-6)
    assert embedding.text(0) == "embedding"
    assert "divide by their L2 norm" in embedding.text(1)


def test_author_and_licence_of_the_tflite_metadata():
    facts = model_facts(SPEC, "0" * 16, author="Ä. Smith", licence="CC0-1.0")
    metadata = Table.root(metadata_buffer(facts))
    assert (metadata.text(4), metadata.text(5)) == ("Ä. Smith", "CC0-1.0")


def test_all_facts_are_in_the_tflite_file_s_archive(bundle):
    with zipfile.ZipFile(bundle.model_path("tflite")) as archive:
        assert archive.testzip() is None
        facts = json.loads(archive.read("edgesim.json"))
    expected = dataclasses.asdict(
        dataclasses.replace(model_facts(bundle.spec, bundle.encoder_id), layout="NHWC")
    )
    assert facts == json.loads(json.dumps({key: value for key, value in expected.items() if value != ""}))
    assert facts["jpeg_min_side"] == 64


def test_the_manifest_says_what_a_latency_estimate_needs(bundle):
    expected = layer_cost(for_export(small_encoder()), 32)
    assert bundle_cost(bundle, "onnx") == bundle_cost(bundle, "tflite") == expected
    assert len(bundle_estimates(load_profile("pi-4b"), bundle)) == 3


@pytest.mark.parametrize("model_format", ["onnx", "tflite"])
def test_the_facts_of_another_encoder_change_no_number(bundle, model_format):
    facts = model_facts(SPEC, "f" * 16, author="x" * 1000)
    model = ConvertedModel(content=bundle.model_path(model_format).read_bytes(), float_operators=[])
    once, again = (stamp(model_format, model, facts).content for _ in range(2))
    assert once == again
    assert len(once) < len(model.content) + 5000
    np.testing.assert_array_equal(_run(model_format, once), _run(model_format, model.content))


def _run(model_format, content):
    if model_format == "onnx":
        inputs = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
        return onnxruntime.InferenceSession(content).run(None, {"images": inputs})[0]
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    inputs = np.random.default_rng(0).integers(-128, 128, into["shape"]).astype(np.int8)
    interpreter.set_tensor(into["index"], inputs)
    interpreter.invoke()
    return interpreter.get_tensor(out["index"])


def test_weights_behind_the_flatbuffer_move_with_it():
    # The built-in encoder is large enough to have such weights.
    bundle = Bundle.load(bundle_folder("copy"))
    content = bundle.model_path("tflite").read_bytes()
    facts = model_facts(bundle.spec, bundle.encoder_id, author="x" * 777)
    stamped = stamp("tflite", ConvertedModel(content=content, float_operators=[]), facts).content
    before, after = _weights(content), _weights(stamped)
    assert len(before) > 5
    assert [data for _, data in before] == [data for _, data in after]
    assert all(offset % 16 == 0 for offset, _ in after)  # engines map them where they lie
    np.testing.assert_array_equal(_run("tflite", stamped), _run("tflite", content))


def _weights(content):
    """Return offset and bytes of every buffer behind the FlatBuffer."""
    buffers = [buffer for buffer in Table.root(content).tables(4) if buffer._field(1) is not None]
    places = [(buffer.scalar(1, "Q"), buffer.scalar(2, "Q")) for buffer in buffers]
    return [(offset, content[offset : offset + size]) for offset, size in places]
