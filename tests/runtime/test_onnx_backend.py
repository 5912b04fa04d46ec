"""The adapter for ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgesim.errors import BundleError
from edgesim.runtime.onnx_backend import OnnxBackend
from tests.helpers import TinyEncoder, photo, run_python


@pytest.mark.parametrize("batch", ["N", 1])
def test_raw_embeddings_equal_numpy_whatever_the_batch(tmp_path: Path, batch: int | str) -> None:
    encoder = TinyEncoder(3)
    (tmp_path / "model.onnx").write_bytes(encoder.onnx(batch))
    backend = OnnxBackend(tmp_path / "model.onnx")
    pixels = np.stack([photo(seed) for seed in range(3)])
    spec = encoder.spec()
    prepared = backend.prepare(pixels, spec)
    normalised = ((pixels / 255.0 - spec.mean) / spec.std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(prepared, normalised, atol=1e-6)
    raw = backend.infer(prepared)
    expected = np.stack([encoder.embed(image) for image in pixels])
    np.testing.assert_allclose(raw / np.linalg.norm(raw, axis=1, keepdims=True), expected, atol=1e-6)
    assert (raw.shape, raw.dtype, backend.version) == ((3, 16), np.float32, onnxruntime.__version__)


def test_a_file_that_the_engine_cannot_load(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"no model")
    with pytest.raises(BundleError) as caught:
        OnnxBackend(model)
    start = f"{model}: onnxruntime {onnxruntime.__version__} cannot load it ("
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_model_with_two_inputs(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(TinyEncoder().onnx())
    model.graph.input.add().CopyFrom(model.graph.input[0])
    model.graph.input[1].name = "more"
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError) as caught:
        OnnxBackend(tmp_path / "model.onnx")
    assert str(caught.value) == f"{tmp_path / 'model.onnx'}: expected a model with one input, got 2"


def test_no_telemetry_is_written(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(TinyEncoder().onnx())
    script = (
        "import os, sys; from pathlib import Path\n"
        "from edgesim.runtime.onnx_backend import OnnxBackend\n"
        "OnnxBackend(Path(sys.argv[1])); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    assert run_python("-c", script, tmp_path / "model.onnx").stdout == "1\n"
