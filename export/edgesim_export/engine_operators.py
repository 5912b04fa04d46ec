"""Whether an engine of the device can run a model file: by loading it, or by what is known of that engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgesim.bundle import Bundle
from edgesim.engines import ENGINES
from edgesim.errors import BundleError, MissingDependencyError
from edgesim.runtime.engines import available_engines, load_backend
from edgesim_export.quiet import quiet

# The oldest onnxruntime that edgesim installs, 1.20, loads files up to these, asked by loading such files.
ONNX_OPSET_MAX = 21
ONNX_IR_MAX = 10
# The newest versions that tflite-runtime 2.14.0 has of operators that LiteRT 2.3.0 has newer ones of, 0 for
# none, asked by loading a file with that operator alone. What is not listed runs in both or in neither.
TFLITE_RUNTIME_VERSIONS = {
    **{"ADD": 5, "BROADCAST_TO": 3, "CAST": 5, "CONCATENATION": 4, "CONV_2D": 7, "COS": 1, "DEQUANTIZE": 5},
    **{"DILATE": 0, "DYNAMIC_UPDATE_SLICE": 1, "EMBEDDING_LOOKUP": 3, "EQUAL": 4, "FILL": 4},
    **{"FULLY_CONNECTED": 10, "GATHER": 6, "GATHER_ND": 4, "GELU": 2, "LOG": 1, "MUL": 7, "NOT_EQUAL": 3},
    **{"PACK": 4, "PAD": 4, "PADV2": 4, "QUANTIZE": 3, "REDUCE_WINDOW": 0, "REVERSE_V2": 3, "RSQRT": 2},
    **{"SIN": 1, "SLICE": 6, "SOFTMAX": 3, "SPLIT": 4, "SPLIT_V": 2, "SQRT": 1, "TRANSPOSE": 6},
    **{"TRANSPOSE_CONV": 4, "UNPACK": 4, "STABLEHLO_ADD": 0, "STABLEHLO_AND": 0, "STABLEHLO_CASE": 0},
    **{"STABLEHLO_COMPOSITE": 0, "STABLEHLO_GATHER": 0, "STABLEHLO_MAXIMUM": 0, "STABLEHLO_MINIMUM": 0},
    **{"STABLEHLO_MULTIPLY": 0, "STABLEHLO_PAD": 0, "STABLEHLO_REDUCE_WINDOW": 0},
    **{"STABLEHLO_RNG_BIT_GENERATOR": 0, "STABLEHLO_SCATTER": 0, "STABLEHLO_SHIFT_LEFT": 0},
}
# Its GELU takes float32, int8 and uint8, whatever the operator's version: "int16 is not supported", it says.
TFLITE_RUNTIME_REFUSES = {("GELU", "INT16")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether one engine runs a model file.

    Attributes:
        runs: None if that cannot be said here.
        reason: how that is known, or why it is not.
        loaded: whether the engine is here and has loaded the file.
    """

    runs: bool | None
    reason: str
    loaded: bool = False


def judge(bundle: Bundle, engine: str) -> Verdict:
    """Return whether an engine runs the bundle's model file of its format."""
    path = bundle.model_path(ENGINES[engine].model_format)
    lacking = _lacking(path, engine)
    if lacking:
        return Verdict(runs=False, reason=f"{engine} lacks {', '.join(lacking)}")
    if engine not in available_engines():
        return _unloaded(engine, "is not installed here")
    try:
        with quiet():
            version = load_backend(bundle, engine).version
    except MissingDependencyError:
        return _unloaded(engine, "does not work here beside this numpy")
    except BundleError as error:
        return Verdict(runs=False, reason=str(error).removeprefix(f"{path}: "))
    return Verdict(runs=True, reason=f"loaded by {engine} {version}", loaded=True)


def _unloaded(engine: str, why: str) -> Verdict:
    if engine == "tflite-runtime":
        return Verdict(runs=True, reason=f"{engine} {why}: by its table of operators")
    return Verdict(runs=None, reason=f"{engine} {why}")


def _lacking(path: Path, engine: str) -> list[str]:
    """Return what the oldest supported version of an engine is known not to run, as messages call it."""
    if engine == "onnxruntime":
        return onnx_beyond(path.read_bytes())
    if engine == "tflite-runtime":
        return _beyond_tflite_runtime(path.read_bytes())
    return []


def onnx_beyond(content: bytes) -> list[str]:
    """Return what of an ONNX file is newer than the oldest supported onnxruntime, 1.20."""
    import onnx

    model = onnx.load_model_from_string(content)
    found = [f"IR version {model.ir_version}"] if model.ir_version > ONNX_IR_MAX else []
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return found + [f"opset {version}" for version in opsets if version > ONNX_OPSET_MAX]


def _beyond_tflite_runtime(content: bytes) -> list[str]:
    found = []
    for name, version, kind in tflite_operators(content):
        if version > TFLITE_RUNTIME_VERSIONS.get(name, version):
            found.append(f"{name} version {version}")
        elif (name, kind) in TFLITE_RUNTIME_REFUSES:
            found.append(f"{name} of {kind}")
    return found


def tflite_operators(content: bytes) -> list[tuple[str, int, str]]:
    """Return name, version and type of the first input of the operators of a TFLite file, each once."""
    from ai_edge_litert import schema_py_generated as schema

    names = _names(schema.BuiltinOperator)
    types = _names(schema.TensorType)
    model = schema.Model.GetRootAs(content)
    found = set()
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            # Files from before there were 128 operators have the number in the older field only.
            name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            first = operator.Inputs(0) if operator.InputsLength() else -1
            found.add((name, code.Version(), types[graph.Tensors(first).Type()] if first >= 0 else ""))
    return sorted(found)


def _names(enumeration: type) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if not name.startswith("_")}
