"""A wheel of hnswlib for the device. Its authors publish none, so it is Debian's build, or compiled here."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

from edgesim import machine
from edgesim.errors import InputError, MissingDependencyError
from edgesim_export.kit.debian import DebianArchive, read_package, repack
from edgesim_export.kit.install import MACHINES
from edgesim_export.kit.pip import pip_download
from edgesim_export.kit.target import DEBIAN_RELEASES, Target, glibc_minor
from edgesim_export.kit.wheel import glibc_of, pack_wheel

_VERSION = "0.8.0"
# For the CPU's baseline: no -march=native. OpenMP is left out: hnswlib has threads of its own.
_FLAGS = ("-O3", "-std=c++14", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", "-pthread", "-shared", "-s")
# The device's C++ library may be older than this compiler's.
_LINK = ("-static-libstdc++", "-static-libgcc")


def make_hnswlib(target: Target, folder: Path, work: Path) -> Path:
    """Put a wheel of hnswlib into a folder and return its path.

    Debian 13 has version 0.8.0. Debian 12 has 0.6.2, which lacks what edgesim calls.

    Args:
        target: what for.
        folder: where to.
        work: an empty folder for what is fetched and built.

    Raises:
        MissingDependencyError: no archive of Debian, or no compiler for that architecture; the message
            names it.
        InputError: something cannot be fetched, or the compiler fails.
    """
    release = DEBIAN_RELEASES.get(target.python)
    architecture = target.profile.architecture
    if release == "trixie":
        archive = DebianArchive(release, architecture, work / "apt")
        version, files = repack(archive.fetch(["python3-hnswlib"]), "hnswlib", architecture)
        return pack_wheel(folder, files, name="hnswlib", version=version, tag=target.tag)
    library = _compile(target, work)
    if glibc_of(library) > glibc_minor(target.profile):
        raise InputError(
            f"this machine's compiler builds for glibc 2.{glibc_of(library)}, the device may have "
            f"{target.profile.glibc}; make the kit on the device's release"
        )
    module = f"hnswlib.cpython-{target.abi[2:]}-{MACHINES[architecture]}.so"
    source = work / f"hnswlib-{_VERSION}"
    info = f"hnswlib-{_VERSION}.dist-info"
    files = {
        module: library,
        f"{info}/METADATA": (source / "PKG-INFO").read_bytes(),
        f"{info}/licenses/LICENSE": (source / "LICENSE").read_bytes(),
    }
    return pack_wheel(folder, files, name="hnswlib", version=_VERSION, tag=target.tag)


def _compile(target: Target, work: Path) -> bytes:
    """Compile hnswlib's one source file and return the shared library."""
    compiler = _compiler(target.profile.architecture)
    pip_download([f"hnswlib=={_VERSION}", "--no-deps", "--no-binary", "hnswlib"], work)
    pip_download(["pybind11", "--no-deps"], work)
    with tarfile.open(work / f"hnswlib-{_VERSION}.tar.gz") as archive:
        archive.extractall(work, filter="data")
    with zipfile.ZipFile(next(work.glob("pybind11-*.whl"))) as wheel:
        wheel.extractall(work)
    source = work / f"hnswlib-{_VERSION}"
    headers = [work / "pybind11" / "include", source / "hnswlib", *_python_headers(target, work)]
    output = work / "hnswlib.so"
    command = [
        compiler,
        *_FLAGS,
        f'-DVERSION_INFO="{_VERSION}"',
        *(f"-I{folder}" for folder in headers),
        str(source / "python_bindings" / "bindings.cpp"),
        "-o",
        str(output),
        *_LINK,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        line = next((line for line in result.stderr.splitlines() if "error" in line), "no message")
        raise InputError(f"{compiler} cannot build hnswlib: {line}")
    return output.read_bytes()


def _compiler(architecture: str) -> str:
    name = f"{MACHINES[architecture]}-g++"
    here = machine.architecture() == architecture
    found = shutil.which(name) or (shutil.which("g++") if here else None)
    if found is None:
        package = "g++" if here else f"g++-{MACHINES[architecture].replace('_', '-')}"
        raise MissingDependencyError(f"needs the compiler {name}; run: apt-get install {package}")
    return found


def _python_headers(target: Target, work: Path) -> list[Path]:
    """Return the folders of the target's Python headers: this Python's where it is of the same kind."""
    here = Path(sysconfig.get_path("include"))
    same = f"{sys.version_info[0]}.{sys.version_info[1]}" == target.python
    if same and machine.architecture() == target.profile.architecture and (here / "Python.h").exists():
        return [here]
    release = DEBIAN_RELEASES.get(target.python)
    if release is None:
        raise InputError(f"no Debian release has Python {target.python}, and this machine lacks its headers")
    archive = DebianArchive(release, target.profile.architecture, work / "apt")
    for package in archive.fetch([f"libpython{target.python}-dev"]):
        files, _ = read_package(package)
        for name, data in files.items():
            if name.startswith("usr/include/"):
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                (work / name).write_bytes(data)
    include = work / "usr" / "include"
    return [include / f"python{target.python}", include, include / MACHINES[target.profile.architecture]]
