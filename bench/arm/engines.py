"""Engines beside the kit's own, of the versions that are installed here, unpacked for ARM."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgesim.engines import ENGINES
from edgesim.profiles import load_profile
from edgesim_export.kit.target import platform_tags

# tflite-runtime is built for numpy 1.
_REQUIREMENTS = {"tflite-runtime": ("numpy<2",)}


def engine_packages(cache: Path, engine: str) -> Path:
    """Return a folder with an engine, NumPy and Pillow for Python 3.11 on ARM, unpacked if it is not there.

    Args:
        cache: folder of all of them.
        engine: a key of `edgesim.engines.ENGINES`; its version is that of this environment.
    """
    package = ENGINES[engine].package
    version = importlib.metadata.version(package)
    pillow = f"pillow=={importlib.metadata.version('pillow')}"
    requirements = (f"{package}=={version}", pillow, *_REQUIREMENTS.get(engine, ()))
    return unpacked_packages(cache, f"{package}-{version}", *requirements)


def unpacked_packages(cache: Path, name: str, *arguments: str) -> Path:
    """Return the folder `NAME-aarch64` in `cache`; if it is not there, pip puts packages for ARM into it.

    Args:
        cache: folder of all of them.
        name: of package and version.
        arguments: what pip is to install, and how.
    """
    target = cache / f"{name}-aarch64"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".{target.name}.") as folder:
            _install(Path(folder) / "packages", arguments)
            (Path(folder) / "packages").rename(target)
    return target


def _install(target: Path, arguments: Sequence[str]) -> None:
    platforms = [option for tag in platform_tags(load_profile("pi-4b")) for option in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    python = ["--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:"]
    subprocess.run([*command, "--target", target, *python, *platforms, *arguments], check=True)
