"""Which inference engines are installed, and which one runs a bundle."""

from __future__ import annotations

import importlib.util

from edgesim import engines
from edgesim.builtin import is_shipped
from edgesim.bundle import Bundle
from edgesim.errors import BundleError, MissingDependencyError, UsageError
from edgesim.names import nearest
from edgesim.runtime.backend import Backend
from edgesim.runtime.model_file import check_model_file

# Their names, the preferred one first.
ENGINES = tuple(engines.ENGINES)


def available_engines() -> list[str]:
    """Return the names of the installed engines, the preferred one first, without importing any.

    Importing costs time and memory, and an engine built for another CPU dies of it.
    """
    return [name for name in ENGINES if importlib.util.find_spec(engines.ENGINES[name].module) is not None]


def model_format(engine: str) -> str:
    """Return the model format that an engine runs: `onnx` or `tflite`."""
    return engines.ENGINES[engine].model_format


def choose_engine(bundle: Bundle, engine: str | None = None) -> str:
    """Return the name of the engine that `load_backend` takes, without importing it.

    Raises `UsageError` and `MissingDependencyError` as that does.
    """
    return _fitting_engine(bundle) if engine is None else _installed(engine)


def load_backend(bundle: Bundle, engine: str | None = None, threads: int = 1) -> Backend:
    """Load a bundle's model into an engine.

    Args:
        bundle: where the model files are.
        engine: one of `ENGINES`; by default the first installed one that the bundle has a model file for.
        threads: how many CPU threads one inference may use.

    Raises:
        UsageError: no engine has that name.
        MissingDependencyError: the engine, or any that fits, is not installed; the message holds the cure.
        BundleError: the bundle has no model file for the engine, the engine cannot load it, or it is known to
            compute it wrong.
    """
    engine = choose_engine(bundle, engine)
    path = bundle.model_path(model_format(engine))
    if not _computes_right(bundle, engine):
        right = ", ".join(bundle.models[model_format(engine)]["engines"])
        raise BundleError(f"{path}: {engine} computes it wrong; use {right}, or export it by another recipe")
    if not is_shipped(bundle.manifest_sha256):  # those are trusted as the package is
        check_model_file(path, model_format(engine))
    if engine == "onnxruntime":
        from edgesim.runtime.onnx_backend import OnnxBackend

        return OnnxBackend(path, threads)
    from edgesim.runtime.tflite_backend import TfliteBackend

    return TfliteBackend(path, engine, threads)


def _computes_right(bundle: Bundle, engine: str) -> bool:
    """Return whether an engine is among those that the bundle names for its model file; it may name none."""
    right = bundle.models[model_format(engine)].get("engines")
    return not isinstance(right, list) or engine in right


def _fitting_engine(bundle: Bundle) -> str:
    fitting = [engine for engine in available_engines() if model_format(engine) in bundle.models]
    # One that computes it wrong is better named than passed over.
    for engine in sorted(fitting, key=lambda name: not _computes_right(bundle, name)):
        return engine
    cures = [engines.ENGINES[name].cure for name in ENGINES if model_format(name) in bundle.models]
    raise MissingDependencyError(
        f"{bundle.folder}: no engine is installed for its {' or '.join(bundle.models)} model. "
        f"Run: {' or: '.join(cures)}"
    )


def _installed(engine: str) -> str:
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}{nearest(engine, ENGINES)}")
    if engine not in available_engines():
        raise MissingDependencyError(
            f"the engine {engine} is not installed. Run: {engines.ENGINES[engine].cure}"
        )
    return engine
