"""`edgesim profiles`: the devices that edgesim knows, what they allow, and what an encoder may take there."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgesim.cli.encoders import BUILTIN_NAMES
from edgesim.cli.parsers import Subparsers, add_command, add_json_option, example

if TYPE_CHECKING:
    from edgesim.bundle import Bundle
    from edgesim.latency_estimate import LatencyEstimate
    from edgesim.profiles import DeviceProfile


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers,
        "profiles",
        "List the device profiles, or show one with the source of each of its figures; with\n"
        "--bundle, estimate how long that encoder takes there. Nothing is measured.",
        example("edgesim profiles", "edgesim profiles pi-4b", "edgesim profiles pi-4b --bundle copy"),
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a profile's name, or a TOML file of your own"
    )
    parser.add_argument(
        "--bundle",
        metavar="BUNDLE",
        help=f"estimate the latency of this encoder: {BUILTIN_NAMES}, or a folder",
    )
    add_json_option(parser, "print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one profile, or all; or the estimates for a bundle."""
    from edgesim.errors import UsageError
    from edgesim.profiles import load_profile, profile_names

    if args.bundle and not args.name:
        raise UsageError("--bundle: for which device? Name a profile too; edgesim profiles lists them")
    names = [args.name] if args.name else profile_names()
    profiles = [load_profile(name) for name in names]
    if args.bundle:
        _print_estimates(profiles[0], args.bundle, args.json)
    elif args.json:
        import dataclasses

        from edgesim.cli.json_output import print_json

        values = [dataclasses.asdict(profile) for profile in profiles]
        print_json(values[0] if args.name else values)
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


def _print_estimates(profile: DeviceProfile, name: str, as_json: bool) -> None:
    from edgesim.latency_estimate import COVERS, NOT_COVERED, bundle_estimates
    from edgesim.runtime.embedder import open_bundle

    bundle = open_bundle(name)
    estimates = bundle_estimates(profile, bundle)
    if as_json:
        from edgesim.cli.json_output import print_json

        values = {
            "profile": profile.name,
            "bundle": str(bundle.folder),
            "encoder_id": bundle.encoder_id,
            "covers": COVERS,
            "not_covered": NOT_COVERED,
            "estimates": [estimate.to_dict() for estimate in estimates],
        }
        print_json(values)
    else:
        print(_table_of_estimates(profile, bundle, estimates))
        print(f"\nCovers {COVERS} ({profile.clock_mhz} MHz).")
        print(f"Does not cover {NOT_COVERED}.")
        first = estimates[0]
        print(
            f"Fitted on {first.fitted_on} published latencies of the {first.core} and on counted "
            "instructions. The range\nholds for networks that the fit has not seen; see "
            "docs/latency-estimates.md."
        )


def _table_of_estimates(profile: DeviceProfile, bundle: Bundle, estimates: list[LatencyEstimate]) -> str:
    from edgesim.cli.tables import format_table

    rows = [
        (
            estimate.engine,
            f"about {_milliseconds(estimate.ms)} ms",
            f"{_milliseconds(estimate.low_ms)} to {_milliseconds(estimate.high_ms)} ms",
            f"about {estimate.instructions / 1e6:.0f} million",
        )
        for estimate in estimates
    ]
    head = f"{profile.name}: {profile.title}, {bundle.title}: estimated, not measured\n\n"
    return head + format_table(("engine", "estimate", "range", "instructions"), rows)


def _milliseconds(value: float) -> str:
    """Two digits: an estimate has no more."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
