"""`edgesim doctor`: what this machine has, what is missing, and the cure."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgesim.builtin import ENCODERS
from edgesim.cli.parsers import Subparsers, add_command, add_json_option

if TYPE_CHECKING:
    from edgesim.machine import Machine, Package
    from edgesim.profiles import DeviceProfile

_EPILOG = """\
exit status: 0 when one inference engine works and both built-in encoders are intact; 4 when one of them is
not; 6 when no engine works

example:
  edgesim doctor
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers,
        "doctor",
        "Say what this machine has (CPU features, inference engines, versions), what is missing, "
        "and the cure. Each engine is tried in a process of its own.",
        _EPILOG,
    )
    add_json_option(parser, "print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; a working engine and intact built-in encoders are what success means."""
    from edgesim import machine
    from edgesim.errors import BundleError, MissingDependencyError

    here = machine.read_machine()
    packages = machine.read_packages()
    profile = machine.best_profile(here)
    # The bundles' checker imports numpy, which could take this process down.
    numpy_works = any(package.name == "numpy" and package.works for package in packages)
    encoders, damaged = (
        _encoders() if numpy_works else (dict.fromkeys(ENCODERS, "not checked: numpy fails"), [])
    )
    report = _json if args.json else _text
    print(report(here, packages, profile, encoders))
    if not any(package.works for package in packages if package.name in machine.ENGINE_PACKAGES):
        raise MissingDependencyError("no inference engine works here; see the cures above")
    if damaged:
        raise BundleError(
            f"damaged built-in encoders: {', '.join(damaged)}, see above; "
            "run: pip install --force-reinstall --no-deps edgesim"
        )
    return 0


def _encoders() -> tuple[dict[str, str], list[str]]:
    """Return what there is to say about each built-in encoder, and the names of the damaged ones."""
    from edgesim import machine
    from edgesim.errors import BundleError

    found, damaged = {}, []
    for name in ENCODERS:
        try:
            found[name] = machine.check_builtin_bundle(name)
        except BundleError as error:
            found[name] = str(error)
            damaged.append(name)
    return found, damaged


def _json(
    here: Machine, packages: list[Package], profile: DeviceProfile | None, encoders: dict[str, str]
) -> str:
    import dataclasses
    import json

    from edgesim import __version__

    report = {
        "edgesim": __version__,
        "machine": dataclasses.asdict(here),
        "profile": profile.name if profile else None,
        "encoders": encoders,
        "packages": [dataclasses.asdict(package) for package in packages],
    }
    return json.dumps(report, indent=2)


def _text(
    here: Machine, packages: list[Package], profile: DeviceProfile | None, encoders: dict[str, str]
) -> str:
    from edgesim import __version__
    from edgesim.cli.tables import format_table

    fit = (
        f"{profile.name} ({profile.title})"
        if profile
        else f"none for {here.architecture} with these features"
    )
    facts = [
        ("edgesim", __version__),
        ("cpu", f"{here.cpu}, {here.cores} cores, {here.architecture}"),
        ("features", " ".join(here.features) or "none that matter here"),
        ("memory", f"{here.memory_mb} MiB"),
        ("system", f"{here.os}, Python {here.python}"),
        ("best profile", fit),
        *((f"encoder {name}", found) for name, found in encoders.items()),
    ]
    works = {True: "yes", False: "no", None: "not tried"}
    rows = [
        (
            package.name,
            package.version or "-",
            works[package.works] if package.version else "-",
            "; ".join(filter(None, (package.problem, package.cure))),
        )
        for package in packages
    ]
    found = format_table(("package", "version", "works", "what to do"), rows)
    return f"{format_table(('this machine', ''), facts)}\n\n{found}"
