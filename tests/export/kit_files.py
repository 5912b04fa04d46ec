"""Small wheels, a profile of this very machine, and a kit of both, for the tests of the deployment kit."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edgesim.bundle import Bundle
from edgesim.profiles import DeviceProfile, load_profile
from edgesim_export.kit.build import Kit, KitRequest, make_kit
from edgesim_export.kit.target import Target
from edgesim_export.kit.wheel import pack_wheel

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
# What stands in for edgesim on the "device": says how it was called, and ends as the test wants.
FAKE_EDGESIM = """
import os, signal, sys
import numpy

def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    print("edgesim", VERSION, *arguments, "with numpy", numpy.__file__)
    if os.environ.get("DIE_BY"):
        os.kill(os.getpid(), int(os.environ["DIE_BY"]))
    if os.environ.get("STOP_INSTALLER"):
        os.kill(os.getppid(), signal.SIGTERM)
    return int(os.environ.get("STATUS", "0"))
"""
START = "import sys\nfrom edgesim.cli.main import main\nsys.exit(main())\n"


def own_profile(folder: Path, **changes: str) -> DeviceProfile:
    """Return `shopfloor-x86` with this machine's architecture and Python, and other lines as given."""
    import firmware_profiles

    text = (Path(firmware_profiles.__file__).parent / "shopfloor-x86.toml").read_text()
    changes = {
        "title": '"This machine"',
        "architecture": f'"{platform.machine()}"',
        "python": f'["{PYTHON}"]',
        **changes,
    }
    head, sources, tail = text.partition("[sources]")
    lines = []
    for line in head.splitlines():
        key = line.partition(" = ")[0]
        lines.append(f"{key} = {changes.pop(key)}" if key in changes else line)
    assert not changes
    path = folder / "own.toml"
    path.write_text("\n".join([*lines, sources + tail]))
    return load_profile(str(path))


def fake_packages(version: str = "1.0") -> Callable[..., dict[str, str]]:
    """Return a collector of three small wheels; the package edgesim is of the version given."""

    def collect(target: Target, bundle: Bundle, folder: Path, progress: object) -> dict[str, str]:
        modules = {
            "edgesim/__init__.py": b"",
            "edgesim/__main__.py": START.encode(),
            "edgesim/cli/__init__.py": b"",
            "edgesim/cli/main.py": f"VERSION = {version!r}\n{FAKE_EDGESIM}".encode(),
        }
        pack_wheel(folder, modules, name="edgesim", version=version, tag="py3-none-any")
        library = {"numpy/__init__.py": b"", "numpy-2.0.data/data/lib/shared/libblas.so.3": b"GLIBC_2.17"}
        pack_wheel(folder, library, name="numpy", version="2.0", tag="cp311-cp311-manylinux_2_17_x86_64")
        engine = {"onnxruntime/__init__.py": b""}
        pack_wheel(folder, engine, name="onnxruntime", version="1.29.0", tag="py3-none-any")
        return {"hnswlib": "no compiler"}

    return collect


def fake_kit(out: Path, bundle: Bundle, version: str = "1.0", **changes: str) -> Kit:
    """Make a kit for this machine from small wheels; `changes` are lines of the profile."""
    out.parent.mkdir(parents=True, exist_ok=True)
    request = KitRequest(bundle=bundle, profile=own_profile(out.parent, **changes), out=out)
    return make_kit(request, collect=fake_packages(version))


def install(
    kit: Path, prefix: Path, *options: str, python: str = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the kit's `install.sh`."""
    return subprocess.run(
        ["sh", str(kit / "install.sh"), "--prefix", str(prefix), *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": python, **environment},
    )
