"""What `install.sh` runs on the device: checks the kit, unpacks it beside what is there, and switches over.

A kit holds a copy of this file, so it imports nothing but the standard library. It starts no process.

    PREFIX/releases/NAME/     one installation: environment, bundle, systemd units
    PREFIX/current            link to the one that is used; to change it is one rename
    PREFIX/previous           link to the one before, for a rollback
    PREFIX/bin/edgesim        link into current, and so is PREFIX/bundle

`stage` changes nothing that is in use. `switch` comes after the self-test of what was staged.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import runpy
import shlex
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any, NoReturn

FORMAT_VERSION = 1
FACTS = "kit.json"
STAGED = ".staged"
# Python's name of the machine that it was built for. `uname -m` names the kernel, which on a Raspberry Pi may
# be of 64 bits below a system of 32.
MACHINES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf"}
# Shared libraries of the distribution, in the kits that need some.
LIBRARIES = "lib/shared"
_SPARE_BYTES = 16 * 2**20


class KitError(Exception):
    """The kit cannot be installed here; the message is what the user reads."""


def seal(facts: dict[str, Any]) -> bytes:
    """Return the bytes of `kit.json`: the facts, and the SHA-256 of them."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**facts, "sha256": digest}, indent=2, sort_keys=True) + "\n").encode()


def read_facts(kit: Path) -> dict[str, Any]:
    """Return what `kit.json` says, checked against its own digest."""
    path = kit / FACTS
    try:
        raw = path.read_bytes()
        facts: dict[str, Any] = json.loads(raw)
        del facts["sha256"]
        version = facts["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KitError(f"{path}: missing or damaged; copy the kit again") from error
    if raw != seal(facts):
        raise KitError(f"{path}: changed or damaged; copy the kit again")
    if version != FORMAT_VERSION:
        raise KitError(f"{path}: kit format {version}, expected {FORMAT_VERSION}; copy the whole kit again")
    return facts


def check_machine(facts: dict[str, Any]) -> None:
    """Refuse another architecture, another Python or an older C library than the kit is for."""
    made_for = f"this kit is for {facts['title']} ({facts['architecture']}, Python {facts['python']})"
    machine = str(getattr(sys.implementation, "_multiarch", ""))
    # Of the Python in use, not of the kernel.
    if machine != MACHINES[facts["architecture"]]:
        raise KitError(
            f"{made_for}; the Python here is {machine or sys.platform}: make a kit for this machine"
        )
    python = ".".join(map(str, sys.version_info[:2]))
    if (sys.implementation.name, python) != ("cpython", facts["python"]):
        raise KitError(
            f"{made_for}; {sys.executable} is {sys.implementation.name} {python}: "
            f"set PYTHON=/path/to/python{facts['python']}, or make a kit with --python {python}"
        )
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        library = ""
    name, _, version = library.partition(" ")
    if name != "glibc" or _numbers(version) < _numbers(facts["glibc"]):
        raise KitError(f"{made_for}, and needs glibc {facts['glibc']} or newer; here is {library or 'none'}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def check_files(kit: Path, facts: dict[str, Any]) -> None:
    """Compare every file of the kit with its SHA-256 in `kit.json`."""
    for name, expected in facts["files"].items():
        try:
            with (kit / name).open("rb") as stream:
                actual = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise KitError(f"{kit / name}: missing or unreadable; copy the kit again") from error
        if actual != expected["sha256"]:
            raise KitError(
                f"{kit / name}: damaged (SHA-256 {actual[:12]}, {FACTS} says {expected['sha256'][:12]}); "
                "copy the kit again"
            )


def check_prefix(prefix: Path, facts: dict[str, Any]) -> None:
    """Refuse a folder that is somebody else's, cannot be written, or lies on a disk that is too full."""
    if prefix.exists() and not (prefix / "releases").is_dir() and any(prefix.iterdir()):
        raise KitError(f"{prefix}: holds something else than edgesim; choose another --prefix")
    parent = next(folder for folder in (prefix, *prefix.parents) if folder.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        raise KitError(f"{parent}: may not be written; run with sudo, or choose another --prefix")
    needed = facts["installed_bytes"] + _SPARE_BYTES
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise KitError(
            f"{parent}: {_mb(needed)} MB needed, {_mb(free)} MB free; free some, or choose another --prefix"
        )


def _mb(size: int) -> int:
    return -(-size // 10**6)


def stage(kit: Path, prefix: Path, photos: Path | None) -> None:
    """Check everything, then unpack the kit into `PREFIX/releases/.staged`."""
    facts = read_facts(kit)
    check_machine(facts)
    check_files(kit, facts)
    check_prefix(prefix, facts)
    try:
        import venv
    except ModuleNotFoundError:
        raise KitError(f"{sys.executable} lacks its module venv; install python{facts['python']}") from None

    class Environment(venv.EnvBuilder):
        def setup_scripts(self, context: Any) -> None:
            """Leave the scripts out that activate an environment: they hold the path of the staged one."""

    print(f"unpacking {facts['title']}, edgesim {facts['packages']['edgesim']}")
    staged = prefix / "releases" / STAGED
    shutil.rmtree(staged, ignore_errors=True)
    Environment(symlinks=True).create(staged)
    site = site_folder(staged)
    for wheel in sorted((kit / "wheels").glob("*.whl")):
        if f"wheels/{wheel.name}" in facts["files"]:
            _unpack(wheel, staged, site)
    shutil.copytree(kit / "bundle", staged / "bundle")
    for name in (FACTS, "README.md"):
        shutil.copy(kit / name, staged / name)
    release = prefix / "releases" / _release_name(prefix, facts)
    (staged / "release").write_text(f"{release.name}\n")
    _write_launcher(staged, release)
    _write_units(kit, staged, prefix, photos)


def site_folder(environment: Path) -> Path:
    """Return where the packages of an environment lie."""
    return environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _unpack(wheel: Path, staged: Path, site: Path) -> None:
    # The kit's maker has seen to it that wheels hold packages, and the `data` of shared libraries, only.
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            top, _, rest = member.filename.partition("/")
            if not top.endswith(".data"):
                archive.extract(member, site)
            elif not member.is_dir():
                target = staged / rest.removeprefix("data/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))


def _release_name(prefix: Path, facts: dict[str, Any]) -> str:
    name = f"{facts['packages']['edgesim']}-{hashlib.sha256(seal(facts)).hexdigest()[:8]}"
    taken = {path.name for path in (prefix / "releases").iterdir()}
    names = (name, *(f"{name}.{count}" for count in range(2, len(taken) + 3)))
    return next(candidate for candidate in names if candidate not in taken)


def _write_launcher(staged: Path, release: Path) -> None:
    lines = ["#!/bin/sh"]
    if (staged / LIBRARIES).is_dir():
        lines.append(f"LD_LIBRARY_PATH={shlex.quote(str(release / LIBRARIES))}")
        lines.append("export LD_LIBRARY_PATH")
    # Isolated: neither PYTHONPATH nor packages of the user's own get in.
    lines.append(f'exec {shlex.quote(str(release / "bin/python"))} -I -m edgesim "$@"')
    launcher = staged / "bin" / "edgesim"
    launcher.write_text("\n".join(lines) + "\n")
    launcher.chmod(0o755)


def _write_units(kit: Path, staged: Path, prefix: Path, photos: Path | None) -> None:
    values = {"@PREFIX@": str(prefix), "@PHOTOS@": str(photos or "/srv/photos")}
    (staged / "systemd").mkdir()
    for unit in (kit / "systemd").iterdir():
        text = unit.read_text()
        for mark, value in values.items():
            text = text.replace(mark, value)
        (staged / "systemd" / unit.name).write_text(text)


def run_self_test(prefix: Path) -> NoReturn:
    """Recompute the golden embeddings with what was staged; this process ends with its exit status."""
    staged = prefix / "releases" / STAGED
    engine = read_facts(staged)["engine"]
    sys.path.insert(0, str(site_folder(staged)))
    sys.argv = ["edgesim", "bundle", "verify", str(staged / "bundle"), "--engine", engine]
    # The edgesim that was staged, as `python -m edgesim` starts it.
    runpy.run_module("edgesim", run_name="__main__", alter_sys=True)
    raise KitError(f"{staged}: its edgesim returns no exit status; copy the kit again")


def switch(prefix: Path) -> None:
    """Make what was staged the current installation; keep the one before, remove older ones."""
    releases = prefix / "releases"
    release = releases / (releases / STAGED / "release").read_text().strip()
    (releases / STAGED).rename(release)
    # Before a link points there the files are on the disk, whatever the power does next.
    os.sync()
    before = _target(prefix / "current")
    if before:
        _link(prefix / "previous", f"releases/{before}")
    _link(prefix / "current", f"releases/{release.name}")
    (prefix / "bin").mkdir(exist_ok=True)
    # The command only: a Python outside its environment would not find the packages.
    _link(prefix / "bin" / "edgesim", "../current/bin/edgesim")
    # The owner may have put a link to another bundle there, which then stays.
    if not (prefix / "bundle").is_symlink():
        _link(prefix / "bundle", "current/bundle")
    for folder in releases.iterdir():
        if folder.name not in (release.name, before):
            shutil.rmtree(folder, ignore_errors=True)
    print(f"installed: {prefix}/bin/edgesim")


def rollback(prefix: Path) -> None:
    """Make the installation before this one the current one again."""
    before, now = _target(prefix / "previous"), _target(prefix / "current")
    if not before:
        raise KitError(f"{prefix}: holds no earlier installation to go back to")
    _link(prefix / "current", f"releases/{before}")
    _link(prefix / "previous", f"releases/{now}")
    print(f"rolled back to {before}; {now} is kept")


def _target(link: Path) -> str | None:
    """Return the name of the release that a link points to, None if there is none."""
    return link.resolve().name if link.is_symlink() and link.exists() else None


def _link(link: Path, target: str) -> None:
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def _absolute(text: str) -> Path:
    # systemd reads these characters in a unit as its own.
    if any(character in text for character in '"\\%$\n'):
        raise argparse.ArgumentTypeError(f'expected a path without any of " \\ % $, got {text!r}')
    return Path(os.path.abspath(text))  # noqa: PTH100


def main(arguments: list[str] | None = None) -> int:
    """Run one step; `install.sh` calls them in order."""
    parser = argparse.ArgumentParser(prog="install.py")
    parser.add_argument("step", choices=("stage", "self-test", "switch", "rollback"))
    parser.add_argument("--prefix", type=_absolute, required=True)
    parser.add_argument("--photos", type=_absolute)
    args = parser.parse_args(arguments)
    # Other users run what root installs.
    os.umask(0o022)
    try:
        if args.step == "self-test":
            run_self_test(args.prefix)
        if args.step == "stage":
            stage(Path(__file__).resolve().parent, args.prefix, args.photos)
        else:
            {"switch": switch, "rollback": rollback}[args.step](args.prefix)
    except KitError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or args.prefix}: {error.strerror or error}")
    return 0


def _fail(message: str) -> NoReturn:
    print(f"install.sh: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(main())
