"""The adapter for LiteRT and tflite-runtime, on files whose every number is known."""

from importlib import metadata
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgesim.errors import BundleError, MissingDependencyError
from edgesim.model_spec import ModelSpec
from edgesim.runtime.tflite_backend import TfliteBackend, quantise
from tests.helpers import INSTALLED_ENGINES, run_python
from tests.runtime.tflite_files import Tensor, tflite_file

PACKAGES = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}
ENGINES = [engine for engine in INSTALLED_ENGINES if engine in PACKAGES]
SIDE, DIM = 8, 4
WEIGHTS = np.array([[64, -32, 16], [-100, 50, 25], [127, 127, -127], [1, 2, 3]])
BIAS = np.array([1000, -500, 0, 250])
# Scale and zero point of the input, of the mean and of the embedding; scale of the weights.
# What the input can hold is -2.66 to 2.44, and what the spec makes of bytes lies within.
SPEC = ModelSpec(name="tiny", input_size=SIDE, embedding_dim=DIM, mean=(0.4, 0.5, 0.6), std=(0.25, 0.3, 0.25))
INPUT, MEAN, OUTPUT, WEIGHT = (0.02, 5), (0.015, -7), (0.03, 11), 0.01


def encoder(dtype: type) -> bytes:
    """Mean over the picture, then a linear layer."""
    quantised = dtype is np.int8
    facts = [INPUT if quantised else (), MEAN if quantised else (), OUTPUT if quantised else ()]
    weights = WEIGHTS if quantised else WEIGHTS * WEIGHT
    # The scale of an int8 layer's bias is that of its input times that of its weights.
    bias = BIAS if quantised else BIAS * MEAN[0] * WEIGHT
    return tflite_file(
        [
            Tensor((1, SIDE, SIDE, 3), dtype, *facts[0]),
            Tensor((2,), np.int32, data=np.array([1, 2])),
            Tensor((1, 3), dtype, *facts[1]),
            Tensor((DIM, 3), dtype, *((WEIGHT,) if quantised else ()), data=weights),
            Tensor(
                (DIM,),
                np.int32 if quantised else dtype,
                *((MEAN[0] * WEIGHT,) if quantised else ()),
                data=bias,
            ),
            Tensor((1, DIM), dtype, *facts[2]),
        ],
        [("MEAN", [0, 1], 2), ("FULLY_CONNECTED", [2, 3, 4], 5)],
    )


def normalised(pixels: np.ndarray) -> np.ndarray:
    return (pixels / 255.0 - SPEC.mean) / SPEC.std


def expected(pixels: np.ndarray) -> np.ndarray:
    """The same in real numbers, not rounded."""
    return normalised(pixels).mean(axis=(1, 2)) @ (WEIGHTS * WEIGHT).T + BIAS * MEAN[0] * WEIGHT


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_is_within_a_step_of_the_real_numbers(tmp_path: Path, pixels: np.ndarray, engine: str) -> None:
    (tmp_path / "model.tflite").write_bytes(encoder(np.int8))
    backend = TfliteBackend(tmp_path / "model.tflite", engine)
    result = backend.infer(backend.prepare(pixels, SPEC))
    assert (result.shape, result.dtype) == ((3, DIM), np.float32)
    # Half a step of the embedding, and half a step of the mean through the weights of each row.
    tolerance = OUTPUT[0] / 2 + np.abs(WEIGHTS * WEIGHT).sum(axis=1) * MEAN[0] / 2 + 1e-4
    assert np.all(np.abs(result - expected(pixels)) <= tolerance)
    steps = result / OUTPUT[0] + OUTPUT[1]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_float32_models_are_taken_too(tmp_path: Path, pixels: np.ndarray, engine: str) -> None:
    (tmp_path / "model.tflite").write_bytes(encoder(np.float32))
    backend = TfliteBackend(tmp_path / "model.tflite", engine)
    result = backend.infer(backend.prepare(pixels, SPEC))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected(pixels), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_result_for_an_image_does_not_depend_on_the_others(
    tmp_path: Path, pixels: np.ndarray, engine: str
) -> None:
    (tmp_path / "model.tflite").write_bytes(encoder(np.int8))
    backend = TfliteBackend(tmp_path / "model.tflite", engine)
    inputs = backend.prepare(pixels, SPEC)
    alone = np.concatenate([backend.infer(image[None]) for image in inputs[::-1]])[::-1]
    assert np.array_equal(backend.infer(inputs), alone)


def test_the_input_is_each_normalised_pixel_in_steps(tmp_path: Path, pixels: np.ndarray) -> None:
    (tmp_path / "model.tflite").write_bytes(encoder(np.int8))
    backend = TfliteBackend(tmp_path / "model.tflite", ENGINES[0])
    inputs = backend.prepare(pixels, SPEC)
    assert inputs.dtype == np.int8
    steps = normalised(pixels) / INPUT[0] + INPUT[1]
    assert np.abs(inputs - steps).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_it_says_its_version_and_nothing_else(tmp_path: Path, engine: str) -> None:
    (tmp_path / "model.tflite").write_bytes(encoder(np.float32))
    # In a process of its own: an engine introduces itself only the first time.
    script = (
        "import sys; from pathlib import Path; from edgesim.runtime.tflite_backend import TfliteBackend\n"
        "backend = TfliteBackend(Path(sys.argv[1]), sys.argv[2])\n"
        "print(backend.engine, backend.version); print('still here', file=sys.stderr)"
    )
    result = run_python("-c", script, tmp_path / "model.tflite", engine)
    version = metadata.version(PACKAGES[engine])
    assert (result.stdout, result.stderr) == (f"{engine} {version}\n", "still here\n")


@pytest.mark.parametrize(
    ("value", "step"),
    [
        # Halves go away from zero, before the zero point 10 is added; all values are exact in binary.
        (0.25, 11),
        (-0.25, 9),
        (0.75, 12),
        (-0.75, 8),
        (0.24, 10),
        (0.26, 11),
        (0.5, 11),
        (0.0, 10),
        (58.5, 127),
        (59.0, 127),
        (1e9, 127),
        (-69.0, -128),
        (-1e9, -128),
    ],
)
def test_quantise_by_hand(value: float, step: int) -> None:
    assert quantise(np.array([value], dtype=np.float32), 0.5, 10).tolist() == [step]


def test_quantise_rounds_what_is_just_below_a_half_down() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert quantise(np.array([below, -below]), 1.0, 0).tolist() == [0, 0]


def test_quantise_equals_the_reference_kernel_of_tflite(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    scale, zero_point = 0.031027, -1
    rng = np.random.default_rng(0)
    halves = (np.arange(-140, 140) + 0.5) * np.float32(scale)
    values = np.concatenate([halves, rng.uniform(-5, 5, 20_000)]).astype(np.float32)
    tensors = [Tensor(values.shape, np.float32), Tensor(values.shape, np.int8, scale, zero_point)]
    model = tflite_file(tensors, [("QUANTIZE", [0], 1)])
    kernel = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    kernel.allocate_tensors()
    kernel.set_tensor(0, values)
    kernel.invoke()
    assert np.array_equal(quantise(values, scale, zero_point), kernel.get_tensor(1))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_without_an_output(tmp_path: Path, engine: str) -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(encoder(np.float32)))
    model.subgraphs[0].outputs = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    (tmp_path / "model.tflite").write_bytes(builder.Output())
    with pytest.raises(BundleError) as caught:
        TfliteBackend(tmp_path / "model.tflite", engine)
    assert str(caught.value) == (
        f"{tmp_path / 'model.tflite'}: expected a model with one input and output, got 1 and 0"
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_the_engine_cannot_load(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: str
) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"no model")
    with pytest.raises(BundleError) as caught:
        TfliteBackend(model, engine)
    version = metadata.version(PACKAGES[engine])
    assert str(caught.value).startswith(f"{model}: {engine} {version} cannot load it (")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_tflite_runtime_beside_numpy_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(MissingDependencyError) as caught:
        TfliteBackend(tmp_path / "model.tflite", "tflite-runtime")
    assert str(caught.value) == (
        "tflite-runtime does not work with numpy 2.1.0. "
        "Run: pip install 'numpy<2' or: pip install 'edgesim[tflite]'"
    )
