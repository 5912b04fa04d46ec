"""`edgesim doctor`: what this machine has, what is missing, and the cure."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edgesim.builtin import ENCODERS
from edgesim.cli.parsers import Subparsers, add_command, add_json_option

if TYPE_CHECKING:
    from edgesim.machine import Machine, Package
    from edgesim.profiles import DeviceProfile

_EPILOG = """\
exit status: 0 when one inference engine works, both built-in encoders are intact and the device's
configuration, if there is one, can be read; 2 when that cannot; 4 when an encoder is damaged; 6 when no
engine works

example:
  edgesim doctor
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers,
        "doctor",
        "Say what this machine has (CPU features, inference engines, versions, configuration), what is "
        "missing, and the cure. Each engine is tried in a process of its own.",
        _EPILOG,
    )
    add_json_option(parser, "print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; what success means is said above."""
    from edgesim import machine
    from edgesim.errors import BundleError, MissingDependencyError, UsageError

    here = machine.read_machine()
    packages = machine.read_packages()
    profile = machine.best_profile(here)
    # The bundles' checker imports numpy, which could take this process down.
    numpy_works = any(package.name == "numpy" and package.works for package in packages)
    encoders, damaged = (
        _encoders() if numpy_works else (dict.fromkeys(ENCODERS, "not checked: numpy fails"), [])
    )
    configuration = _configuration()
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json(_report(here, packages, profile, encoders, configuration))
    else:
        print(_text(here, packages, profile, encoders, configuration))
    if not any(package.works for package in packages if package.name in machine.ENGINE_PACKAGES):
        raise MissingDependencyError("no inference engine works here; see the cures above")
    if damaged:
        raise BundleError(
            f"damaged built-in encoders: {', '.join(damaged)}, see above; "
            "run: pip install --force-reinstall --no-deps edgesim"
        )
    if configuration is not None and "problem" in configuration:
        raise UsageError(f"no bundle from elsewhere is accepted: {configuration['problem']}")
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


def _configuration() -> dict[str, Any] | None:
    """Return what the device's configuration says, or its `problem`; None if there is none."""
    import dataclasses

    from edgesim.errors import UsageError
    from edgesim.trust import configuration_file, read_configuration

    try:
        file = configuration_file()
        return None if file is None else {"file": str(file), **dataclasses.asdict(read_configuration())}
    except UsageError as error:
        return {"problem": str(error)}


def _report(
    here: Machine,
    packages: list[Package],
    profile: DeviceProfile | None,
    encoders: dict[str, str],
    configuration: dict[str, Any] | None,
) -> dict[str, Any]:
    import dataclasses

    from edgesim import __version__

    return {
        "edgesim": __version__,
        "machine": dataclasses.asdict(here),
        "profile": profile.name if profile else None,
        "configuration": configuration,
        "encoders": encoders,
        "packages": [dataclasses.asdict(package) for package in packages],
    }


def _text(
    here: Machine,
    packages: list[Package],
    profile: DeviceProfile | None,
    encoders: dict[str, str],
    configuration: dict[str, Any] | None,
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
        ("configuration", _configuration_text(configuration)),
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


def _configuration_text(configuration: dict[str, Any] | None) -> str:
    if configuration is None:
        return "none: bundles need no signature"
    if "problem" in configuration:
        return str(configuration["problem"])
    if configuration["require_signed_bundles"]:
        return f"{configuration['file']}: bundles must be signed by a key of {configuration['trusted_keys']}"
    return f"{configuration['file']}: bundles need no signature"
