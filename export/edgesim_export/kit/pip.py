"""pip, asked for the packages of another machine."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from edgesim.engines import ENGINES
from edgesim.errors import InputError, MissingDependencyError, UsageError
from edgesim_export.kit.target import Target

_NO_NETWORK = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|Max retries|Temporary failure|"
    "Failed to establish|Network is unreachable|ProxyError|connection broken"
)
_NO_MATCH = re.compile(r"No matching distribution found for (\S+)")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def download_wheels(
    target: Target, packages: Sequence[str], folder: Path, *, dependencies: bool = True
) -> None:
    """Download wheels of the target's engine and of other packages.

    Args:
        target: what for.
        packages: names; the versions are those that edgesim declares.
        folder: where to.
        dependencies: whether with all that they depend on.

    Raises:
        UsageError: there is no such wheel for the target.
        InputError: the package index cannot be reached, or pip fails otherwise.
        MissingDependencyError: this Python has no pip.
    """
    platforms = [option for tag in target.platforms for option in ("--platform", tag)]
    engine = ENGINES[target.engine]
    requirements = [*engine.requirements, *map(_declared, packages)]
    options = ["--only-binary=:all:", "--python-version", target.python, "--implementation", "cp"]
    if not dependencies:
        options.append("--no-deps")
        requirements = [line for line in requirements if line.startswith((engine.package, *packages))]
    try:
        pip_download([*options, *platforms, *requirements], folder)
    except NoWheelError as error:
        others = [name for name in target.profile.engines if name != target.engine]
        cure = f"; try --engine {others[0]}" if others else ""
        raise UsageError(f"pip finds no wheel of {error} for {target.place}{cure}") from error


class NoWheelError(InputError):
    """No file of the package fits; the message is the requirement."""


def pip_download(arguments: list[str], folder: Path) -> None:
    """Run `pip download` into a folder.

    Raises:
        NoWheelError: nothing that fits is published.
        InputError: the package index cannot be reached, or pip fails otherwise.
        MissingDependencyError: this Python has no pip.
    """
    if importlib.util.find_spec("pip") is None:
        raise MissingDependencyError(
            f"a kit needs pip, which {sys.executable} lacks; run: python -m ensurepip"
        )
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--retries", "1", "--timeout", "20", "--dest", str(folder)]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    output = result.stdout + result.stderr
    if _NO_NETWORK.search(output):
        raise InputError("the package index cannot be reached, which a kit takes its wheels from; try again")
    if match := _NO_MATCH.search(output):
        raise NoWheelError(match[1])
    errors = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    raise InputError(f"pip failed: {errors[-1][7:] if errors else 'no message'}")


def _declared(package: str) -> str:
    """Return the requirement by which edgesim's own metadata name a package, without its marker."""
    for line in metadata.requires("edgesim") or []:
        requirement = line.partition(";")[0].strip()
        match = _NAME.match(requirement)
        if match and match[0].lower() == package:
            return requirement
    return package
