"""`edgesim bundle install|rollback|status`: the bundle in use on a device, and the one before."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.parsers import Subparsers, add_action, add_json_option, example

if TYPE_CHECKING:
    from edgesim.runtime.bundle_store import StoreState
    from edgesim.runtime.updates import Update

_HELP_STORE = "the folder that `install --into` has made; other commands take it as a bundle"


def add_actions(actions: Subparsers) -> None:
    """Add the actions to the parser of `edgesim bundle`."""
    install = add_action(
        actions,
        "install",
        "put a bundle into use on this device, if it proves good",
        "Copy a bundle into a store, check its bytes and its signature, recompute its golden\n"
        "embeddings, and switch to it. If anything fails, the bundle in use stays in use; so it does, or\n"
        "the new one is, after a power cut at any instant.",
        example("edgesim bundle install /media/usb/pi-bundle --into /var/lib/edgesim/bundle"),
    )
    install.add_argument(
        "source", type=Path, metavar="SOURCE", help="the folder of a bundle, on a memory stick for instance"
    )
    install.add_argument(
        "--into",
        type=Path,
        metavar="STORE",
        required=True,
        help="the folder that holds the bundle in use; made if missing",
    )
    install.add_argument(
        "--allow-downgrade",
        action="store_true",
        help="accept a lower release, or an unsigned bundle in place of a signed one",
    )
    install.set_defaults(run=run_install)
    rollback = add_action(
        actions,
        "rollback",
        "go back to the bundle that was in use before",
        "Check the bundle before as install does and switch to it. A second rollback undoes\nthe first.",
        example("edgesim bundle rollback /var/lib/edgesim/bundle"),
    )
    rollback.add_argument("store", type=Path, metavar="STORE", help=_HELP_STORE)
    rollback.set_defaults(run=run_rollback)
    status = add_action(
        actions,
        "status",
        "say which bundle is in use and which was before",
        "Say which bundle is in use in a store and which one rollback goes back to.",
        example("edgesim bundle status /var/lib/edgesim/bundle --json"),
    )
    status.add_argument("store", type=Path, metavar="STORE", help=_HELP_STORE)
    add_json_option(status, "print it as JSON")
    status.set_defaults(run=run_status)


def run_install(args: argparse.Namespace) -> int:
    """Install a bundle."""
    from edgesim.runtime.updates import install

    _print_update(args.into, install(args.source, args.into, allow_downgrade=args.allow_downgrade))
    return 0


def run_rollback(args: argparse.Namespace) -> int:
    """Go back to the bundle before."""
    from edgesim.runtime.updates import rollback

    _print_update(args.store, rollback(args.store))
    return 0


def _print_update(store: Path, update: Update) -> None:
    test = update.self_test
    if test is None:
        print(f"{store}: holds {update.current.title} already")
        return
    print(f"{store}: now holds {update.current.title}")
    print(
        f"{test.engine} {test.engine_version}: reproduces the golden embeddings, "
        f"lowest cosine {test.lowest_cosine:.4f}"
    )
    if update.before is not None and update.encoder_changed:
        print(f"another encoder: indexes made with {update.before.encoder_title} must be made again")


def run_status(args: argparse.Namespace) -> int:
    """Say which bundle is in use."""
    from edgesim.errors import BundleError
    from edgesim.runtime.bundle_store import read_state

    state = read_state(args.store)
    if state is None:
        raise BundleError(f"{args.store}: nothing is installed there; run: edgesim bundle install")
    if args.json:
        import dataclasses

        from edgesim.cli.json_output import print_json

        print_json(dataclasses.asdict(state))
    else:
        print(_text(state))
    return 0


def _text(state: StoreState) -> str:
    lines = []
    for name, version in (("in use", state.current), ("before", state.previous)):
        if version is None:
            lines.append(f"{name}: nothing")
        else:
            lines.append(f"{name}: {version.title}" + (f", key {version.key}" if version.key else ""))
    return "\n".join(lines)
