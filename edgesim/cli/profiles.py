"""`edgesim profiles`: the devices that edgesim knows, and what they allow."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgesim.cli import COMMANDS

if TYPE_CHECKING:
    from edgesim.profiles import DeviceProfile

_EPILOG = """\
example:
  edgesim profiles
  edgesim profiles pi-4b
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "profiles",
        help=COMMANDS["profiles"],
        description="List the device profiles, or show one with the source of each of its figures.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a profile's name, or a TOML file of your own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one profile, or all."""
    from edgesim.profiles import load_profile, profile_names

    names = [args.name] if args.name else profile_names()
    profiles = [load_profile(name) for name in names]
    if args.json:
        import dataclasses
        import json

        values = [dataclasses.asdict(profile) for profile in profiles]
        print(json.dumps(values[0] if args.name else values, indent=2))
    else:
        print(_describe(profiles[0]) if args.name else _list(profiles))
    return 0


def _list(profiles: list[DeviceProfile]) -> str:
    from edgesim.cli.tables import format_table

    header = ("profile", "device", "cpu", "features", "memory", "engines")
    rows = [
        (
            profile.name,
            profile.title,
            f"{profile.cores}x {profile.core} {profile.clock_mhz} MHz",
            " ".join(profile.features),
            f"{profile.ram_mb} MiB",
            ", ".join(profile.engines),
        )
        for profile in profiles
    ]
    return format_table(header, rows)


def _describe(profile: DeviceProfile) -> str:
    from edgesim.cli.tables import format_table

    rows = []
    for key, source in profile.sources.items():
        value = getattr(profile, key)
        rows.append((key, ", ".join(value) if isinstance(value, tuple) else str(value), source))
    return f"{profile.name}: {profile.title}\n\n{format_table(('key', 'value', 'source'), rows)}"
