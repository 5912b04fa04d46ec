"""The gates of a device's profile, with engines, processes and the package index replaced."""

import contextlib
import dataclasses

import pytest

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.engines import ENGINES
from edgesim.errors import InputError, MissingDependencyError, UsageError
from edgesim.machine import Machine
from edgesim.profiles import load_profile
from edgesim_export import profile_gates
from edgesim_export.device_probe import Measured, ProbeError
from edgesim_export.engine_operators import Verdict
from edgesim_export.profile_gates import measure_profile

PI_4B = load_profile("pi-4b")  # 250 MiB, 150 ms, 100,000 entries; litert, onnxruntime, tflite-runtime
DESKTOP = Machine(
    cpu="AMD EPYC",
    architecture="x86_64",
    features=("sse4.2", "avx", "avx2"),
    cores=2,
    memory_mb=4000,
    os="Debian",
    python="3.11.7",
)
A_PI_4B = dataclasses.replace(DESKTOP, cpu="Cortex-A72", architecture="aarch64", features=("neon",))


class Setting:
    """What the replaced parts answer, and what they were asked."""

    def __init__(self):
        self.machine = DESKTOP
        self.verdicts = {}
        self.measured = {
            "litert": Measured(peak_mib=200.04, search="hnsw", engine_version="2.3.0", median_ms=None),
            "onnxruntime": Measured(peak_mib=250.0, search="hnsw", engine_version="1.29.0", median_ms=None),
        }
        self.runs = []
        self.entries = []

    def judge(self, bundle, engine):
        return self.verdicts.get(engine, Verdict(runs=True, reason=f"loaded by {engine} 1.0", loaded=True))

    @contextlib.contextmanager
    def open_probe(self, bundle, entries):
        self.entries.append(entries)
        yield self

    def run(self, engine, *, timed):
        self.runs.append((engine, timed))
        if engine not in self.measured:
            raise ProbeError("killed by SIGKILL")
        found = self.measured[engine]
        return dataclasses.replace(found, median_ms=found.median_ms if timed else None)


@pytest.fixture
def setting(monkeypatch):
    setting = Setting()
    for name in ("judge", "open_probe"):
        monkeypatch.setattr(profile_gates, name, getattr(setting, name))
    monkeypatch.setattr(profile_gates, "read_machine", lambda: setting.machine)
    return setting


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load(bundle_folder("copy"))


def measure(bundle, profile=PI_4B, download=None):
    gates = measure_profile(bundle, profile, download)
    return {(gate.model, gate.gate): gate for gate in gates}


def test_every_format_has_every_gate_and_one_index_serves_both(bundle, setting):
    gates = measure(bundle)
    names = ["operators", "wheels", "peak_memory", "latency"]
    assert set(gates) == {(model, name) for model in ("onnx", "tflite") for name in names}
    assert setting.entries == [100_000]
    # The preferred engine of each format, and no times on another machine.
    assert setting.runs == [("onnxruntime", False), ("litert", False)]


def test_memory(bundle, setting):
    gates = measure(bundle)
    memory = gates["tflite", "peak_memory"]
    assert (memory.value, memory.limit, memory.passed) == (200.0, 250, True)
    assert memory.note == "litert 2.3.0 on x86_64, 100000 entries, hnsw search"
    assert gates["onnx", "peak_memory"].passed  # 250.0, the limit may be reached
    setting.measured["onnxruntime"] = dataclasses.replace(setting.measured["onnxruntime"], peak_mib=250.01)
    assert measure(bundle)["onnx", "peak_memory"].passed is False


def test_a_process_that_gives_no_answer_fails(bundle, setting):
    del setting.measured["litert"]
    gates = measure(bundle)
    memory = gates["tflite", "peak_memory"]
    assert (memory.value, memory.passed, memory.note) == ("no answer", False, "killed by SIGKILL")
    assert gates["tflite", "latency"].passed is None
    assert gates["onnx", "peak_memory"].passed


def test_latency_elsewhere_is_not_measured(bundle, setting):
    latency = measure(bundle)["tflite", "latency"]
    assert (latency.value, latency.limit, latency.passed) == (None, 150, None)
    assert latency.note == "this machine is x86_64, the device aarch64"


@pytest.mark.parametrize(("milliseconds", "passed"), [(149.96, True), (150.0, True), (150.2, False)])
def test_latency_on_the_device(bundle, setting, milliseconds, passed):
    setting.machine = A_PI_4B
    setting.measured["litert"] = dataclasses.replace(setting.measured["litert"], median_ms=milliseconds)
    latency = measure(bundle)["tflite", "latency"]
    assert setting.runs == [("onnxruntime", True), ("litert", True)]
    assert (latency.value, latency.passed) == (round(milliseconds, 1), passed)
    assert latency.note == "litert 2.3.0 on aarch64, 100000 entries, hnsw search"


def test_operators_of_the_preferred_engine_decide(bundle, setting):
    setting.verdicts["tflite-runtime"] = Verdict(runs=False, reason="tflite-runtime lacks GELU of INT16")
    operators = measure(bundle)["tflite", "operators"]
    assert (operators.value, operators.limit, operators.passed) == ("litert", "litert", True)
    assert operators.note == "loaded by litert 1.0; tflite-runtime lacks GELU of INT16"
    setting.verdicts = {"litert": Verdict(runs=False, reason="litert 2.1 cannot load it")}
    operators = measure(bundle)["tflite", "operators"]
    assert (operators.value, operators.passed) == ("tflite-runtime", False)


def test_an_engine_that_is_not_here(bundle, setting):
    setting.verdicts["litert"] = Verdict(runs=None, reason="litert is not installed here")
    gates = measure(bundle)
    for name in ("operators", "peak_memory"):
        gate = gates["tflite", name]
        assert (gate.value, gate.passed) == (None, None)
        assert gate.note.startswith("litert is not installed here")
    assert setting.runs == [("onnxruntime", False)]


def test_operators_that_nothing_runs(bundle, setting):
    setting.verdicts["onnxruntime"] = Verdict(runs=False, reason="onnxruntime lacks opset 22")
    operators = measure(bundle)["onnx", "operators"]
    assert (operators.value, operators.passed, operators.note) == (
        "none",
        False,
        "onnxruntime lacks opset 22",
    )


# Wheels.


class PackageIndex:
    """Answers like pip; `refused` holds (engine, Python) -> the error."""

    def __init__(self, **refused):
        self.refused, self.asked = refused, []

    def __call__(self, target, packages, folder):
        self.asked.append((target.engine, target.python, packages))
        error = self.refused.get(target.engine)
        if error is not None:
            raise error
        engine = ENGINES[target.engine].package.replace("-", "_")
        for name in (f"{engine}-2.3.0", "numpy-2.4.6", "pillow-13.0.0", "six-1.0"):
            (folder / f"{name}-cp311-cp311-any.whl").touch()


def test_wheels_are_not_asked_for_by_default(bundle, setting):
    wheels = measure(bundle)["tflite", "wheels"]
    assert (wheels.value, wheels.limit, wheels.passed) == (None, "3.11, 3.13", None)
    assert wheels.note == "the package index was not asked, pass --check-wheels"


def test_wheels_for_every_python(bundle, setting):
    index = PackageIndex()
    wheels = measure(bundle, download=index)["tflite", "wheels"]
    assert (wheels.value, wheels.passed) == ("3.11, 3.13", True)
    assert wheels.note == "ai-edge-litert 2.3.0, numpy 2.4.6, pillow 13.0.0"
    packages = ("numpy", "pillow", "tqdm")
    assert index.asked == [
        (engine, python, packages) for engine in ("onnxruntime", "litert") for python in ("3.11", "3.13")
    ]


def test_the_next_engine_is_tried_where_it_can_exist(bundle, setting):
    index = PackageIndex(litert=UsageError("pip finds no wheel of ai-edge-litert"))
    wheels = measure(bundle, download=index)["tflite", "wheels"]
    # tflite-runtime ends with Python 3.11.
    assert (wheels.value, wheels.limit, wheels.passed) == ("3.11", "3.11, 3.13", False)
    assert wheels.note == (
        "3.11: tflite-runtime 2.3.0, numpy 2.4.6, pillow 13.0.0; 3.13: pip finds no wheel of ai-edge-litert"
    )
    assert [asked[:2] for asked in index.asked if asked[0] == "tflite-runtime"] == [
        ("tflite-runtime", "3.11")
    ]


def test_a_format_whose_only_engine_has_no_wheels_for_a_python_fails_without_asking(bundle, setting):
    profile = dataclasses.replace(PI_4B, engines=("onnxruntime", "tflite-runtime"), python=("3.13",))
    gates = measure(bundle, profile)
    wheels = gates["tflite", "wheels"]
    assert (wheels.value, wheels.passed, wheels.note) == ("none", False, "no wheels of tflite-runtime")
    assert gates["onnx", "wheels"].passed is None


@pytest.mark.parametrize(
    "error", [InputError("the package index cannot be reached"), MissingDependencyError("no pip")]
)
def test_an_index_that_does_not_answer_is_no_failure(bundle, setting, error):
    wheels = measure(bundle, download=PackageIndex(litert=error))["tflite", "wheels"]
    assert (wheels.value, wheels.passed, wheels.note) == (None, None, str(error))


def test_32_bits_take_numpy_from_the_distribution(bundle, setting):
    index = PackageIndex()
    only = dataclasses.replace(bundle, models={"tflite": bundle.models["tflite"]})
    wheels = measure(only, load_profile("pi-zero-2w-32bit"), index)["tflite", "wheels"]
    assert (wheels.value, wheels.passed, index.asked) == (None, None, [])
    assert wheels.note == "on armv7l numpy and Pillow come from the distribution"
