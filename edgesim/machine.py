"""What this machine is and what is installed on it: the findings of `edgesim doctor`.

Native packages are tried in a process of their own, because one that was built for another CPU does not raise
an exception: the kernel kills the process that imports it. Standard library only.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

from edgesim.capacity import memory_bytes
from edgesim.engines import ENGINES
from edgesim.errors import EXTRA_OF
from edgesim.profiles import DeviceProfile, load_profile, profile_names

# The kernel's words, on x86 and on Arm, and the names that profiles use.
_FEATURE_OF_FLAG = {
    "sse4_2": "sse4.2",
    "avx": "avx",
    "avx2": "avx2",
    "avx_vnni": "avx-vnni",
    "avx512_vnni": "avx512-vnni",
    "neon": "neon",
    "asimd": "neon",
    "asimddp": "dotprod",
    "asimdhp": "fp16",
    "i8mm": "i8mm",
}
# On Arm /proc/cpuinfo gives numbers (of implementer 0x41) where x86 gives a name.
_CORE_OF_PART = {"0xd03": "Cortex-A53", "0xd08": "Cortex-A72", "0xd0b": "Cortex-A76"}
# What a system of 32 bits calls itself below a kernel of 64, whose name `uname -m` prints.
_32_BITS = {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}
# The smallest TFLite file that an interpreter accepts: no tensors, no operators. tflite-runtime fails on any
# model, not at import, when numpy is too new for it.
_EMPTY_TFLITE = (
    "1800000054464c3300000e00140010000c000800000004000e000000140000002000000008000000030000000000000001000000"
    "08000000040004000400000001000000100000000c00140010000c00080004000c000000180000000c0000000c00000010000000"
    "00000000000000000000000000000000"
)
_RUN_TFLITE = f"Interpreter(model_content=bytes.fromhex('{_EMPTY_TFLITE}'))"
_PROBES = {
    "numpy": "import numpy",
    "pillow": "from PIL import Image; Image.new('RGB', (1, 1))",
    "onnxruntime": "import onnxruntime",
    "ai-edge-litert": f"from ai_edge_litert.interpreter import Interpreter; {_RUN_TFLITE}",
    "tflite-runtime": f"from tflite_runtime.interpreter import Interpreter; {_RUN_TFLITE}",
    "hnswlib": "import hnswlib; i = hnswlib.Index('l2', 16); i.init_index(1); i.add_items([[0.0] * 16])",
}
_KIT_32_BITS = "edgesim bundle kit copy --profile pi-zero-2w-32bit --out kit"
# Too slow to import just for a look.
_NOT_TRIED = ("torch", "onnx", "litert-torch")
ENGINE_PACKAGES = {engine.package: engine for engine in ENGINES.values()}
_PROBE_SECONDS = 120


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Hardware and system.

    Attributes:
        cpu: the CPU's name, or that of its core on Arm.
        architecture: see `architecture`.
        features: those of `edgesim.profiles.FEATURES` that the CPU has.
        cores: logical cores.
        memory_mb: memory in MiB that the system sees.
        os: name and version of the system.
        python: version of the interpreter.
    """

    cpu: str
    architecture: str
    features: tuple[str, ...]
    cores: int
    memory_mb: int
    os: str
    python: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Package:
    """One package and its state.

    Attributes:
        name: as pip knows it.
        version: None when it is not installed.
        works: whether it could be used; None when that was not tried.
        problem: what is wrong, or None.
        cure: what to do about it, or None.
    """

    name: str
    version: str | None = None
    works: bool | None = None
    problem: str | None = None
    cure: str | None = None


def architecture() -> str:
    """Return what packages must be built for, in the words of `uname -m`, which itself names the kernel.

    A 32-bit Raspberry Pi OS starts a 64-bit kernel.
    """
    kernel = platform.machine()
    return kernel if sys.maxsize > 2**32 else _32_BITS.get(kernel, kernel)


def read_machine() -> Machine:
    """Look at the machine that runs this."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        cpuinfo = ""
    cpu, features = parse_cpuinfo(cpuinfo)
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.platform()
    return Machine(
        cpu=cpu or platform.processor() or "unknown CPU",
        architecture=architecture(),
        features=features,
        cores=os.cpu_count() or 1,
        memory_mb=(memory_bytes() or 0) // 2**20,
        os=system,
        python=platform.python_version(),
    )


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the CPU's name, empty if unknown, and its features, from the text of /proc/cpuinfo."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    name = values.get("model name") or _CORE_OF_PART.get(values.get("CPU part", ""), "")
    flags = set((values.get("flags") or values.get("Features") or "").split())
    return name, tuple(dict.fromkeys(feature for flag, feature in _FEATURE_OF_FLAG.items() if flag in flags))


def best_profile(machine: Machine) -> DeviceProfile | None:
    """Return the shipped profile that describes this machine best, or None.

    It must not promise an architecture, a CPU feature or memory that the machine lacks. Among those left
    the same CPU core counts most, then the number of features, then memory.
    """
    # A Raspberry Pi's firmware keeps some of the memory to itself: a quarter at most, our choice.
    memory = machine.memory_mb * 4 / 3
    fitting = [
        profile
        for profile in map(load_profile, profile_names())
        if profile.architecture == machine.architecture
        and set(profile.features) <= set(machine.features)
        and profile.ram_mb <= memory
    ]
    return max(fitting, key=lambda p: (p.core == machine.cpu, len(p.features), p.ram_mb), default=None)


def other_machine(here: Machine, profile: DeviceProfile) -> str | None:
    """Return why times measured here say nothing about the device, or None if this machine is such a device.

    It is one if it has the architecture and the features, and if the CPU's name holds that of the profile's
    core or the last word of its chip: `Cortex-A72`, `N100`.
    """
    if here.architecture != profile.architecture:
        return f"this machine is {here.architecture}, the device {profile.architecture}"
    missing = [feature for feature in profile.features if feature not in here.features]
    if missing:
        return f"this CPU lacks {', '.join(missing)}"
    if profile.core not in here.cpu and profile.soc.split()[-1] not in here.cpu:
        return f"this CPU is {here.cpu}, the device's {profile.soc}"
    return None


def read_packages() -> list[Package]:
    """Look at the packages that edgesim can use, importing the small ones."""
    return [_read_package(name) for name in (*_PROBES, *_NOT_TRIED)]


def _read_package(name: str) -> Package:
    version = _version(name)
    if version is None:
        return Package(name=name, problem="not installed", cure=_cure_of_absence(name))
    if name in _NOT_TRIED:
        return Package(name=name, version=version)
    problem = try_in_process(_PROBES[name])
    if problem is None:
        return Package(name=name, version=version, works=True)
    numpy = _version("numpy") or "0"
    if name == "tflite-runtime" and int(numpy.split(".")[0]) > 1:
        problem = f"built for numpy 1, not {numpy}"
    return Package(
        name=name,
        version=version,
        works=False,
        problem=problem,
        cure=_cure_of_failure(name, version, problem),
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def try_in_process(code: str) -> str | None:
    """Run Python code in a process of its own; return what went wrong in one line, or None."""
    # A process that is killed must not leave a core dump in the user's folder.
    code = f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); {code}"
    try:
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_PROBE_SECONDS} s"
    return failure(result.returncode, result.stderr)


def failure(status: int, errors: str) -> str | None:
    """Return why a process failed in one line, from its exit status and what it wrote to stderr, or None."""
    if status == -signal.SIGILL:
        return "killed by SIGILL: built for another CPU"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if status > 0:
        return (errors.strip().splitlines() or [f"exit status {status}"])[-1]
    return None


def _cure_of_absence(name: str) -> str:
    here = architecture()
    if name == "litert-torch" and here != "x86_64":
        return "none for this machine; export on an x86-64 machine"
    if here == "armv7l" and (cure := _cure_on_32_bits(name)) is not None:
        return cure
    if name == "tflite-runtime" and not _has_wheels(name, here):
        return "none for this Python; use ai-edge-litert"
    if name in ENGINE_PACKAGES:
        return ENGINE_PACKAGES[name].cure
    extra = EXTRA_OF.get(name.replace("-", "_"))
    return f"pip install 'edgesim[{extra}]'" if extra else "pip install edgesim"


def _has_wheels(package: str, system: str) -> bool:
    python = ".".join(map(str, sys.version_info[:2]))
    return ENGINE_PACKAGES[package].has_wheels(system, python)


def _cure_on_32_bits(name: str) -> str | None:
    """Return what to do on 32-bit ARM where it is something else than elsewhere."""
    if name in ("numpy", "pillow"):
        return f"PyPI has none for 32-bit systems; make a kit for it on a PC: {_KIT_32_BITS}"
    if name not in ENGINE_PACKAGES or _has_wheels(name, "armv7l"):
        return None
    if name != "tflite-runtime" and _has_wheels("tflite-runtime", "armv7l"):
        return "none for 32-bit systems; use tflite-runtime, or install a 64-bit system"
    return "none for 32-bit systems with this Python; install a 64-bit system, or one with Python 3.11"


def _cure_of_failure(name: str, version: str, problem: str) -> str:
    if "SIGILL" in problem and name == "hnswlib":
        return "HNSWLIB_NO_NATIVE=1 pip install --force-reinstall --no-deps --no-cache-dir hnswlib"
    if "SIGILL" in problem:
        return "install another engine" if name in ENGINE_PACKAGES else "install another version"
    if "built for numpy" in problem:
        if not _has_wheels("ai-edge-litert", architecture()):
            return "pip install 'numpy<2'"
        return "pip install 'numpy<2', or use ai-edge-litert: pip install 'edgesim[tflite]'"
    return f"pip install --force-reinstall --no-deps {name}=={version}"


def check_builtin_bundle(name: str) -> str:
    """Check every byte of a built-in encoder's bundle and return its title.

    Needs numpy. Raises `BundleError` if the bundle is damaged.
    """
    from edgesim.builtin import bundle_folder
    from edgesim.bundle import Bundle

    return Bundle.load(bundle_folder(name)).title
