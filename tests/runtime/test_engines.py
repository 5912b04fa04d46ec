"""Which engine is chosen, and what is said when none can be."""

import dataclasses
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, MissingDependencyError, UsageError
from edgesim.runtime import engines
from edgesim.runtime.engines import ENGINES, available_engines, load_backend
from tests.helpers import INSTALLED_ENGINES, run_python
from tests.runtime.tflite_files import Tensor, tflite_file

MODULES = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend that only some engines are installed."""

    def pretend(*names: str) -> None:
        modules = {MODULES[name] for name in names}
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            engines.importlib.util,
            "find_spec",
            lambda name: name in modules or None if name in MODULES.values() else find_spec(name),
        )

    return pretend


@pytest.fixture
def both_formats(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    shutil.copy(tiny_bundle.model_path("onnx"), tmp_path)
    tensors = [Tensor((1,), np.float32), Tensor((1,), np.int8, 0.1)]
    (tmp_path / "model.tflite").write_bytes(tflite_file(tensors, [("QUANTIZE", [0], 1)]))
    models = {**tiny_bundle.models, "tflite": {"file": "model.tflite", "quantisation": "int8"}}
    return dataclasses.replace(tiny_bundle, folder=tmp_path, models=models)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engines that `load_backend` would have started."""
    names: list[str] = []
    monkeypatch.setattr("edgesim.runtime.onnx_backend.OnnxBackend", lambda *_: names.append("onnxruntime"))
    monkeypatch.setattr(
        "edgesim.runtime.tflite_backend.TfliteBackend", lambda path, engine, threads: names.append(engine)
    )
    return names


def test_engines_are_found_without_importing_them() -> None:
    script = (
        "import sys; from edgesim.runtime.engines import available_engines\n"
        "print(available_engines(), [m for m in sys.argv[1:] if m in sys.modules])"
    )
    result = run_python("-c", script, *MODULES.values())
    assert (result.stdout, result.stderr) == (f"{list(INSTALLED_ENGINES)} []\n", "")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("tflite-runtime", "litert", "onnxruntime"), "onnxruntime"),
        (("tflite-runtime", "litert"), "litert"),
        (("tflite-runtime",), "tflite-runtime"),
    ],
)
def test_the_preferred_engine_that_is_installed_is_chosen(
    installed: Any, both_formats: Bundle, loaded: list[str], names: tuple[str, ...], chosen: str
) -> None:
    installed(*names)
    assert available_engines() == [name for name in ENGINES if name in names]
    load_backend(both_formats)
    assert loaded == [chosen]


def test_an_engine_without_a_model_file_is_passed_over(
    installed: Any, both_formats: Bundle, loaded: list[str]
) -> None:
    installed(*ENGINES)
    load_backend(dataclasses.replace(both_formats, models={"tflite": both_formats.models["tflite"]}))
    assert loaded == ["litert"]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_can_be_forced(
    installed: Any, both_formats: Bundle, loaded: list[str], engine: str
) -> None:
    installed(*ENGINES)
    load_backend(both_formats, engine)
    assert loaded == [engine]


def test_an_unknown_engine(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError) as caught:
        load_backend(tiny_bundle, "onnx-runtime")
    assert str(caught.value) == "unknown engine 'onnx-runtime'; did you mean 'onnxruntime'?"


@pytest.mark.parametrize(
    ("engine", "cure"),
    [
        ("onnxruntime", "pip install 'onnxruntime>=1.20,<1.30'"),
        ("litert", "pip install 'edgesim[tflite]'"),
        ("tflite-runtime", "pip install 'tflite-runtime==2.14.0' 'numpy<2'"),
    ],
)
def test_a_forced_engine_that_is_not_installed(
    installed: Any, tiny_bundle: Bundle, engine: str, cure: str
) -> None:
    installed()
    with pytest.raises(MissingDependencyError) as caught:
        load_backend(tiny_bundle, engine)
    assert str(caught.value) == f"the engine {engine} is not installed. Run: {cure}"


def test_a_forced_engine_that_the_bundle_has_no_model_for(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError) as caught:
        load_backend(tiny_bundle, "litert")
    assert str(caught.value) == (
        f"{tiny_bundle.folder}: holds no tflite model, only onnx; export it with --format tflite"
    )


def test_no_engine_fits(installed: Any, tiny_bundle: Bundle, both_formats: Bundle) -> None:
    installed("litert")
    with pytest.raises(MissingDependencyError) as caught:
        load_backend(tiny_bundle)
    assert str(caught.value) == (
        f"{tiny_bundle.folder}: no engine is installed for its onnx model. "
        "Run: pip install 'onnxruntime>=1.20,<1.30'"
    )
    installed()
    with pytest.raises(
        MissingDependencyError, match=r"for its onnx or tflite model\. Run: pip install 'onnx.* or: "
    ):
        load_backend(both_formats)


def restricted(bundle: Bundle, *names: str) -> Bundle:
    """Return the bundle with the engines that compute its TFLite file right."""
    return dataclasses.replace(bundle, models={"tflite": {**bundle.models["tflite"], "engines": list(names)}})


def test_an_engine_that_computes_the_file_right_is_preferred(
    installed: Any, both_formats: Bundle, loaded: list[str]
) -> None:
    installed(*ENGINES)
    load_backend(restricted(both_formats, "tflite-runtime"))
    assert loaded == ["tflite-runtime"]


@pytest.mark.parametrize("forced", ["tflite-runtime", None])
def test_an_engine_that_computes_the_file_wrong_is_refused(
    installed: Any, both_formats: Bundle, loaded: list[str], forced: str | None
) -> None:
    installed("tflite-runtime")
    with pytest.raises(BundleError) as caught:
        load_backend(restricted(both_formats, "litert"), forced)
    assert str(caught.value) == (
        f"{both_formats.folder / 'model.tflite'}: tflite-runtime computes it wrong; use litert, or export it "
        "by another recipe"
    )
    assert loaded == []
