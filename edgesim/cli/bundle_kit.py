"""`edgesim bundle kit`: all that a device needs offline, in one folder. Serves `edgesim export --kit`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.encoders import add_bundle_argument
from edgesim.cli.parsers import Subparsers, add_action, add_json_option, example

if TYPE_CHECKING:
    from edgesim.bundle import Bundle
    from edgesim_export.kit.build import Kit

_DESCRIPTION = """\
Put a bundle, the wheels that the device needs, an installer that works without a network, and systemd units
into one folder. pip takes the wheels from the package index; needs neither torch nor a converter.
"""


def add_kit(actions: Subparsers) -> None:
    """Add the action to the parser of `edgesim bundle`."""
    parser = add_action(
        actions,
        "kit",
        "put all that a device needs offline into one folder",
        _DESCRIPTION,
        example(
            "edgesim bundle kit copy --profile pi-4b --out pi-kit",
            "edgesim bundle kit copy --profile pi-4b --python 3.13 --out pi-kit-trixie --tar",
        ),
    )
    add_bundle_argument(parser)
    parser.add_argument(
        "--profile", required=True, metavar="PROFILE", help="the device: see edgesim profiles"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder to write")
    parser.add_argument("--python", metavar="X.Y", help="the device's Python (default: the profile's first)")
    parser.add_argument(
        "--engine", metavar="ENGINE", help="inference engine (default: the profile's first that can be used)"
    )
    parser.add_argument("--tar", action="store_true", help="also write FOLDER.tar")
    parser.add_argument("--overwrite", action="store_true", help="replace the kit at FOLDER")
    add_json_option(parser, "print JSON")
    parser.set_defaults(run=run_kit)


def run_kit(args: argparse.Namespace) -> int:
    """Make a kit and print what is in it."""
    from edgesim.profiles import load_profile
    from edgesim.runtime.embedder import open_bundle
    from edgesim_export.kit.build import KitRequest, make_kit

    request = KitRequest(
        bundle=open_bundle(args.bundle),
        profile=load_profile(args.profile),
        out=args.out,
        python=args.python,
        engine=args.engine,
        tar=args.tar,
        overwrite=args.overwrite,
    )
    kit = make_kit(request, show_progress)
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json({"kit": str(kit.folder), "bytes": kit.bytes, **kit.facts})
    else:
        print_kit(kit)
    return 0


def add_kit_option(parser: argparse.ArgumentParser) -> None:
    """Add `--kit` to the parser of `edgesim export`."""
    parser.add_argument(
        "--kit",
        type=Path,
        metavar="FOLDER",
        help="also make a kit of the bundle for the profile's first Python, see edgesim bundle kit",
    )


def check_kit_option(args: argparse.Namespace) -> None:
    """Refuse what can be refused of `--kit` before the export. Raises `UsageError`."""
    if args.kit is None:
        return
    from edgesim.errors import UsageError
    from edgesim_export.kit.build import check_out

    if args.profile is None:
        raise UsageError("--kit holds packages for one device; say which device with --profile")
    check_out(args.kit, args.overwrite)


def make_exported_kit(args: argparse.Namespace, bundle: Bundle) -> None:
    """Make the kit that `edgesim export --kit` asks for. With --json its `kit.json` says what is in it."""
    if args.kit is None:
        return
    from edgesim.profiles import load_profile
    from edgesim_export.kit.build import KitRequest, make_kit

    profile = load_profile(args.profile)
    request = KitRequest(bundle=bundle, profile=profile, out=args.kit, overwrite=args.overwrite)
    kit = make_kit(request, show_progress)
    if not args.json:
        print_kit(kit)


def show_progress(step: str) -> None:
    """Say on a terminal what begins."""
    if sys.stderr.isatty():
        print(f"edgesim: {step} ...", file=sys.stderr)


def print_kit(kit: Kit) -> None:
    """Print the packages of a kit, what it lacks, and what to do with it."""
    from edgesim.cli.tables import format_table

    facts = kit.facts
    print(format_table(("package", "version"), list(facts["packages"].items())))
    for package, reason in facts["missing"].items():
        print(f"without {package}: {reason}")
    print(
        f"wrote {kit.folder}: {kit.bytes / 1e6:.1f} MB for {facts['title']}, Python {facts['python']}, "
        f"engine {facts['engine']}; copy it to the device, and there run: sudo sh install.sh"
    )
