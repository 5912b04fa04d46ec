"""Puts a kit together: wheels, bundle, installer and units, with the SHA-256 of each file."""

from __future__ import annotations

import dataclasses
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, StorageError, UsageError
from edgesim.files import sha256_file
from edgesim.profiles import DeviceProfile
from edgesim_export.kit import install
from edgesim_export.kit.packages import collect_packages
from edgesim_export.kit.target import Target, choose_target
from edgesim_export.kit.wheel import Wheel, read_wheel

Progress = Callable[[str], None]
# Fills a folder with wheels; returns what could not be had, package -> reason.
Collect = Callable[[Target, Bundle, Path, Progress], dict[str, str]]

_INSTALLER = ("install.sh", "README.md")
_UNITS = ("edgesim-self-test.service", "edgesim-index.service", "edgesim-index.timer", "edgesim.conf")


@dataclasses.dataclass(frozen=True, kw_only=True)
class KitRequest:
    """What kit to make.

    Attributes:
        bundle: what the device runs.
        profile: the device.
        out: folder of the kit; must not exist, unless `overwrite` is given and it holds a kit.
        python: one of the profile's, by default its first.
        engine: by default the first of the profile that can be used.
        tar: also write `OUT.tar`.
        overwrite: replace the kit at `out`.
    """

    bundle: Bundle
    profile: DeviceProfile
    out: Path
    python: str | None = None
    engine: str | None = None
    tar: bool = False
    overwrite: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kit:
    """A kit on disk.

    Attributes:
        folder: where it lies.
        facts: what its `kit.json` says.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Size of all files but `kit.json`."""
        return sum(file["bytes"] for file in self.facts["files"].values())


def check_out(out: Path, overwrite: bool) -> None:
    """Raise `UsageError` if something is at `out` that must not be replaced."""
    if out.exists() and not (overwrite and (out / install.FACTS).exists()):
        raise UsageError(f"{out}: already exists; choose another folder or pass --overwrite")


def check_request(request: KitRequest) -> Target:
    """Refuse what can be refused before any work is done; return what the kit will be for.

    Raises:
        UsageError: `out` exists, or there is no such combination of Python and engine.
    """
    check_out(request.out, request.overwrite)
    return choose_target(request.profile, request.python, request.engine, request.bundle)


def make_kit(
    request: KitRequest, progress: Progress = lambda step: None, collect: Collect | None = None
) -> Kit:
    """Make a kit, so that a failure leaves nothing or the old one at `out`.

    Args:
        request: what to make.
        progress: is told what begins.
        collect: gets the packages; by default `collect_packages`.

    Raises:
        BundleError: the bundle has changed since it was opened.
        UsageError, InputError, MissingDependencyError, StorageError: as their classes say.
    """
    target = check_request(request)
    out = request.out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as work:
            folder = Path(work) / "kit"
            facts = _fill(folder, request, target, collect or collect_packages, progress)
            if out.exists():
                out.rename(Path(work) / "old")
            folder.rename(out)
        if request.tar:
            with tarfile.open(out.with_name(f"{out.name}.tar"), "w") as archive:
                archive.add(out, arcname=out.name)
    except OSError as error:
        raise StorageError(f"{error.filename or out}: {error.strerror or error}") from error
    return Kit(folder=out, facts=facts)


def _fill(
    folder: Path, request: KitRequest, target: Target, collect: Collect, progress: Progress
) -> dict[str, Any]:
    (folder / "wheels").mkdir(parents=True)
    # Before minutes of downloading, next to the wheel of edgesim: the two are of one moment.
    _copy_bundle(request.bundle, folder / "bundle")
    missing = collect(target, request.bundle, folder / "wheels", progress)
    progress("checking and packing")
    wheels = [read_wheel(path) for path in sorted((folder / "wheels").glob("*.whl"))]
    lines = ["# pip install --no-index --find-links wheels --require-hashes -r requirements.txt"]
    lines += [wheel.requirement for wheel in wheels]
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n")
    facts = _facts(request, target, wheels, missing)
    _write_installer(folder, facts, target.profile)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    facts["files"] = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in paths
    }
    facts["installed_bytes"] = _installed_bytes(wheels, folder / "bundle")
    (folder / install.FACTS).write_bytes(install.seal(facts))
    return facts


def _copy_bundle(bundle: Bundle, target: Path) -> None:
    """Copy a bundle; raise `BundleError` if its files are not those any more that were read and checked."""
    shutil.copytree(bundle.folder, target)
    try:
        unchanged = Bundle.load(target).manifest_sha256 == bundle.manifest_sha256
    except BundleError:
        unchanged = False
    if not unchanged:
        raise BundleError(f"{bundle.folder}: has changed while the kit was made; make the kit again")


def _installed_bytes(wheels: list[Wheel], bundle: Path) -> int:
    unpacked = sum(wheel.installed_bytes for wheel in wheels)
    unpacked += sum(path.stat().st_size for path in bundle.iterdir())
    # A tenth more for half-empty blocks of the file system, and what Python compiles.
    return unpacked + unpacked // 10


def _facts(
    request: KitRequest, target: Target, wheels: list[Wheel], missing: dict[str, str]
) -> dict[str, Any]:
    return {
        "format_version": install.FORMAT_VERSION,
        "profile": target.profile.name,
        "title": target.profile.title,
        "architecture": target.profile.architecture,
        "python": target.python,
        "glibc": f"2.{max(wheel.glibc for wheel in wheels)}",
        "engine": target.engine,
        "encoder": request.bundle.title,
        "packages": {wheel.name: wheel.version for wheel in wheels},
        "missing": missing,
    }


def _write_installer(folder: Path, facts: dict[str, Any], profile: DeviceProfile) -> None:
    templates = resources.files("edgesim_export.kit") / "templates"
    values = {
        "@HARDENING@": (templates / "hardening.conf").read_text().rstrip(),
        "@TITLE@": facts["title"],
        "@ARCHITECTURE@": facts["architecture"],
        "@PYTHON@": facts["python"],
        "@ENGINE@": facts["engine"],
        "@ENCODER@": facts["encoder"],
        "@PACKAGES@": "\n".join(f"- {name} {version}" for name, version in facts["packages"].items()),
        "@MISSING@": "\n".join(f"- {name}: {reason}" for name, reason in facts["missing"].items())
        or "- none",
        "@RAM_MB@": str(profile.ram_budget_mb),
        "@RAM_MAX_MB@": str(2 * profile.ram_budget_mb),
    }
    (folder / "systemd").mkdir()
    for name in (*_INSTALLER, *_UNITS):
        text = (templates / name).read_text()
        for mark, value in values.items():
            text = text.replace(mark, value)
        target = folder / name if name in _INSTALLER else folder / "systemd" / name
        target.write_text(text)
    (folder / "install.sh").chmod(0o755)
    (folder / "install.py").write_bytes((resources.files("edgesim_export.kit") / "install.py").read_bytes())
