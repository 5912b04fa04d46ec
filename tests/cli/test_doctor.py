"""`edgesim doctor`, and what it finds out about CPUs and packages."""

import dataclasses
import importlib.metadata
import json
import platform
import sys

import pytest

from edgesim import __version__, machine
from edgesim.builtin import ENCODERS, bundle_folder
from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.errors import BundleError
from edgesim.machine import Machine, Package, best_profile, parse_cpuinfo, try_in_process

PI_4 = (
    "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"
)
PI_5 = (
    "processor\t: 0\nFeatures\t: fp asimd evtstrm aes atomics fphp asimdhp cpuid asimddp\nCPU part\t: 0xd0b\n"
)
CELERON = "model name\t: Intel(R) Celeron(R) J4125 CPU @ 2.00GHz\nflags\t\t: fpu sse2 sse4_1 sse4_2\n"
N100 = "model name\t: Intel(R) N100\nflags\t\t: sse4_2 avx avx2 avx_vnni\n"
XEON = "model name\t: Intel(R) Xeon(R)\nflags\t\t: sse4_2 avx avx2 avx512f avx512_vnni\n"
WORKING = [
    Package(name="numpy", version="2.0", works=True),
    Package(name="onnxruntime", version="1.29", works=True),
]


@pytest.fixture
def found(monkeypatch, tmp_path):
    """Stand-ins for what doctor finds: an engine that works, intact encoders, and no configuration."""

    def set_found(packages):
        monkeypatch.setattr(machine, "read_packages", lambda: packages)
        monkeypatch.setattr(machine, "check_builtin_bundle", lambda name: f"{name} (0123456789abcdef)")

    monkeypatch.setattr("edgesim.trust.CONFIGURATION", tmp_path / "device.toml")
    monkeypatch.delenv("EDGESIM_CONFIG", raising=False)
    set_found(WORKING)
    return set_found


def a_machine(cpuinfo, architecture, memory_mb):
    cpu, features = parse_cpuinfo(cpuinfo)
    return Machine(
        cpu=cpu, architecture=architecture, features=features, cores=4, memory_mb=memory_mb, os="", python=""
    )


@pytest.mark.parametrize(
    ("cpuinfo", "cpu", "features"),
    [
        (PI_4, "Cortex-A72", ("neon",)),
        (PI_5, "Cortex-A76", ("neon", "dotprod", "fp16")),
        (CELERON, "Intel(R) Celeron(R) J4125 CPU @ 2.00GHz", ("sse4.2",)),
        (N100, "Intel(R) N100", ("sse4.2", "avx", "avx2", "avx-vnni")),
        (XEON, "Intel(R) Xeon(R)", ("sse4.2", "avx", "avx2", "avx512-vnni")),
        ("Features\t: half thumb neon vfpv4\nCPU part\t: 0xc07\n", "", ("neon",)),
        ("", "", ()),
    ],
)
def test_cpuinfo(cpuinfo, cpu, features):
    assert parse_cpuinfo(cpuinfo) == (cpu, features)


@pytest.mark.parametrize(
    ("cpuinfo", "architecture", "memory_mb", "profile"),
    [
        (PI_4, "aarch64", 7812, "pi-4b"),
        (PI_4, "aarch64", 906, "pi-4b"),
        (PI_4.replace("0xd08", "0xd03"), "aarch64", 906, "pi-3b-plus"),
        (PI_4.replace("0xd08", "0xd03"), "aarch64", 416, "pi-zero-2w"),
        (PI_5, "aarch64", 4045, "pi-5"),
        (CELERON, "x86_64", 7700, "shopfloor-x86"),
        (N100, "x86_64", 7700, "shopfloor-x86-avx2"),
        (N100, "x86_64", 1900, "shopfloor-x86"),
        (PI_4, "armv7l", 906, "pi-zero-2w-32bit"),
        (PI_4, "armv7l", 300, None),
        ("flags\t: sse2\n", "x86_64", 7700, None),
    ],
)
def test_the_profile_that_fits(cpuinfo, architecture, memory_mb, profile):
    best = best_profile(a_machine(cpuinfo, architecture, memory_mb))
    assert (best.name if best else None) == profile


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "killed by SIGILL: built for another CPU"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("raise ImportError('no symbol')", "ImportError: no symbol"),
        ("raise SystemExit(3)", "exit status 3"),
    ],
)
def test_what_happens_to_a_package_is_told_in_one_line(code, problem):
    assert try_in_process(code) == problem


def test_a_package_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(machine, "_PROBE_SECONDS", 0.2)
    assert try_in_process("import time; time.sleep(60)") == "no answer within 0.2 s"


def test_the_packages_of_this_environment():
    packages = {package.name: package for package in machine.read_packages()}
    for name in ("numpy", "pillow", "onnxruntime", "ai-edge-litert", "hnswlib"):
        assert packages[name] == Package(name=name, version=importlib.metadata.version(name), works=True)
    assert packages["torch"] == Package(name="torch", version=importlib.metadata.version("torch"))


@pytest.mark.parametrize(
    ("name", "versions", "probe", "problem", "cure"),
    [
        (
            "hnswlib",
            {"hnswlib": "0.8.0"},
            "killed by SIGILL: built for another CPU",
            "killed by SIGILL: built for another CPU",
            "HNSWLIB_NO_NATIVE=1 pip install --force-reinstall --no-deps --no-cache-dir hnswlib",
        ),
        (
            "onnxruntime",
            {"onnxruntime": "1.21.0"},
            "killed by SIGILL: built for another CPU",
            "killed by SIGILL: built for another CPU",
            "install another engine",
        ),
        (
            "tflite-runtime",
            {"tflite-runtime": "2.14.0", "numpy": "2.4.6"},
            "SystemError: CreateWrapperFromBuffer returned a result with an exception set",
            "built for numpy 1, not 2.4.6",
            "pip install 'numpy<2', or use ai-edge-litert: pip install 'edgesim[tflite]'",
        ),
        (
            "pillow",
            {"pillow": "13.0.0"},
            "ImportError: libjpeg.so",
            "ImportError: libjpeg.so",
            "pip install --force-reinstall --no-deps pillow==13.0.0",
        ),
    ],
)
def test_the_cure_of_a_package_that_fails(monkeypatch, name, versions, probe, problem, cure):
    monkeypatch.setattr(machine, "_version", versions.get)
    monkeypatch.setattr(machine, "try_in_process", lambda code: probe)
    assert machine._read_package(name) == Package(
        name=name, version=versions[name], works=False, problem=problem, cure=cure
    )


@pytest.mark.parametrize(
    ("kernel", "bits", "architecture"),
    [
        ("aarch64", 64, "aarch64"),
        ("aarch64", 32, "armv7l"),
        ("armv8l", 32, "armv7l"),
        ("armv7l", 32, "armv7l"),
        ("x86_64", 64, "x86_64"),
        ("x86_64", 32, "i686"),
    ],
)
def test_a_32_bit_system_on_a_64_bit_kernel_is_of_32_bits(monkeypatch, kernel, bits, architecture):
    monkeypatch.setattr(platform, "machine", lambda: kernel)
    monkeypatch.setattr(sys, "maxsize", 2 ** (bits - 1) - 1)
    assert machine.read_machine().architecture == architecture


def test_the_cure_for_numpy_2_names_no_engine_that_the_system_cannot_have(monkeypatch):
    monkeypatch.setattr(machine, "_version", {"tflite-runtime": "2.14.0", "numpy": "2.4.6"}.get)
    monkeypatch.setattr(machine, "try_in_process", lambda code: "SystemError")
    monkeypatch.setattr(platform, "machine", lambda: "armv7l")
    assert machine._read_package("tflite-runtime").cure == "pip install 'numpy<2'"


@pytest.mark.parametrize(
    ("name", "architecture", "python", "cure"),
    [
        ("numpy", "x86_64", (3, 11), "pip install edgesim"),
        ("onnxruntime", "aarch64", (3, 13), "pip install 'onnxruntime>=1.20,<1.30'"),
        (
            "onnxruntime",
            "armv7l",
            (3, 11),
            "none for 32-bit systems; use tflite-runtime, or install a 64-bit system",
        ),
        (
            "ai-edge-litert",
            "armv7l",
            (3, 13),
            "none for 32-bit systems with this Python; install a 64-bit system, or one with Python 3.11",
        ),
        (
            "tflite-runtime",
            "armv7l",
            (3, 13),
            "none for 32-bit systems with this Python; install a 64-bit system, or one with Python 3.11",
        ),
        ("tflite-runtime", "armv7l", (3, 11), "pip install 'tflite-runtime==2.14.0' 'numpy<2'"),
        (
            "numpy",
            "armv7l",
            (3, 11),
            "PyPI has none for 32-bit systems; make a kit for it on a PC: "
            "edgesim bundle kit copy --profile pi-zero-2w-32bit --out kit",
        ),
        ("ai-edge-litert", "aarch64", (3, 13), "pip install 'edgesim[tflite]'"),
        ("tflite-runtime", "aarch64", (3, 11), "pip install 'tflite-runtime==2.14.0' 'numpy<2'"),
        ("tflite-runtime", "aarch64", (3, 13), "none for this Python; use ai-edge-litert"),
        ("hnswlib", "x86_64", (3, 11), "pip install 'edgesim[hnsw]'"),
        ("torch", "x86_64", (3, 11), "pip install 'edgesim[train]'"),
        ("litert-torch", "x86_64", (3, 11), "pip install 'edgesim[export]'"),
        ("litert-torch", "aarch64", (3, 11), "none for this machine; export on an x86-64 machine"),
    ],
)
def test_the_cure_of_a_package_that_is_missing(monkeypatch, name, architecture, python, cure):
    monkeypatch.setattr(machine, "_version", lambda name: None)
    monkeypatch.setattr(platform, "machine", lambda: architecture)
    monkeypatch.setattr(sys, "version_info", python)
    assert machine._read_package(name) == Package(name=name, problem="not installed", cure=cure)


def test_the_report(capsys, found):
    found([*WORKING, Package(name="hnswlib", problem="not installed", cure="pip install 'edgesim[hnsw]'")])
    assert main(["doctor"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert f"edgesim          {__version__}" in lines
    assert "encoder copy     copy (0123456789abcdef)" in lines
    assert "encoder similar  similar (0123456789abcdef)" in lines
    assert "configuration    none: bundles need no signature" in lines
    assert "onnxruntime  1.29     yes" in lines
    assert "hnswlib      -        -      not installed; pip install 'edgesim[hnsw]'" in lines


def test_the_report_as_json(capsys, found):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["edgesim"] == __version__
    assert report["machine"]["python"] == platform.python_version()
    assert report["configuration"] is None
    assert report["packages"] == [dataclasses.asdict(package) for package in WORKING]
    assert report["encoders"] == {
        "copy": "copy (0123456789abcdef)",
        "similar": "similar (0123456789abcdef)",
    }


def test_no_engine_that_works(capsys, found):
    found([WORKING[0], Package(name="onnxruntime", version="1.29", works=False, problem="killed by SIGSEGV")])
    assert main(["doctor"]) == 6
    captured = capsys.readouterr()
    assert captured.err == "edgesim: no inference engine works here; see the cures above\n"
    assert "onnxruntime  1.29     no     killed by SIGSEGV" in captured.out


@pytest.mark.parametrize("strict", [True, False])
def test_the_configuration_of_the_device(capsys, tmp_path, found, strict):
    (tmp_path / "device.toml").write_text(f"require_signed_bundles = {str(strict).lower()}")
    assert main(["doctor"]) == 0
    needed = f"must be signed by a key of {tmp_path}/keys" if strict else "need no signature"
    line = f"configuration    {tmp_path}/device.toml: bundles {needed}"
    assert line in capsys.readouterr().out.splitlines()
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["configuration"] == {
        "file": f"{tmp_path}/device.toml",
        "require_signed_bundles": strict,
        "trusted_keys": f"{tmp_path}/keys",
    }


def test_a_configuration_that_nobody_can_read(capsys, tmp_path, found):
    (tmp_path / "device.toml").write_text("require_signed = true")
    problem = f"{tmp_path}/device.toml: unknown key 'require_signed'; did you mean 'require_signed_bundles'?"
    assert main(["doctor"]) == 2
    captured = capsys.readouterr()
    assert f"configuration    {problem}" in captured.out.splitlines()
    assert captured.err == f"edgesim: no bundle from elsewhere is accepted: {problem}\n"
    assert main(["doctor", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["configuration"] == {"problem": problem}


@pytest.mark.parametrize("name", ["copy", "similar"])
def test_a_damaged_encoder(capsys, monkeypatch, found, name):
    def damaged(checked):
        if checked == name:
            raise BundleError(f"{name}/bundle/model.onnx: changed or damaged")
        return "intact"

    monkeypatch.setattr(machine, "check_builtin_bundle", damaged)
    assert main(["doctor"]) == 4
    captured = capsys.readouterr()
    assert captured.err == (
        f"edgesim: damaged built-in encoders: {name}, see above; "
        "run: pip install --force-reinstall --no-deps edgesim\n"
    )
    lines = captured.out.splitlines()
    assert f"{f'encoder {name}':<16} {name}/bundle/model.onnx: changed or damaged" in lines
    assert sum(line.endswith("  intact") for line in lines) == 1


@pytest.mark.parametrize("name", ENCODERS)
def test_the_built_in_encoders_are_checked(name):
    assert machine.check_builtin_bundle(name) == Bundle.load(bundle_folder(name)).title


def test_the_encoders_are_not_touched_when_numpy_fails(capsys, monkeypatch, found):
    found([Package(name="numpy", version="2.0", works=False, problem="killed by SIGILL"), WORKING[1]])
    monkeypatch.setattr(machine, "check_builtin_bundle", lambda name: pytest.fail("numpy was imported"))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "encoder copy     not checked: numpy fails" in lines
    assert "encoder similar  not checked: numpy fails" in lines
