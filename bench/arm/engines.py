"""Engines beside the kit's own, of the versions that are installed here, unpacked for ARM."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edgesim.engines import ENGINES

# From glibc 2.36, Debian 12's, down: pip does not derive older tags by itself.
_GLIBC = ("2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_17")
# tflite-runtime is built for numpy 1.
_REQUIREMENTS = {"tflite-runtime": ("numpy<2",)}


def engine_packages(cache: Path, engine: str, architecture: str = "aarch64") -> Path:
    """Return a folder with an engine, NumPy and Pillow for Python 3.11 on ARM, unpacked if it is not there.

    Args:
        cache: folder of all of them.
        engine: a key of `edgesim.engines.ENGINES`; its version is that of this environment.
        architecture: as in the names of wheels.
    """
    package = ENGINES[engine].package
    version = importlib.metadata.version(package)
    target = cache / f"{package}-{version}-{architecture}"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=cache, prefix=f".{target.name}."))
    pillow = f"pillow=={importlib.metadata.version('pillow')}"
    requirements = [f"{package}=={version}", pillow, *_REQUIREMENTS.get(engine, ())]
    try:
        _install(temporary, requirements, architecture)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def _install(target: Path, requirements: list[str], architecture: str) -> None:
    tags = [f"manylinux_{version}_{architecture}" for version in _GLIBC] + [f"manylinux2014_{architecture}"]
    platforms = [option for tag in tags for option in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    python = ["--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:"]
    subprocess.run([*command, "--target", target, *python, *platforms, *requirements], check=True)
