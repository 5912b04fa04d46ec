"""`edgesim bundle keygen|sign`: who vouches for a bundle; on the PC."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from edgesim.cli.parsers import Subparsers, add_action, example

PASSPHRASE_VARIABLE = "EDGESIM_PASSPHRASE"


def add_actions(actions: Subparsers) -> None:
    """Add the actions to the parser of `edgesim bundle`."""
    keygen = add_action(
        actions,
        "keygen",
        "make a pair of keys to sign bundles with",
        "Make an Ed25519 key pair: KEYFILE, which stays on this PC and signs, and KEYFILE.pub,\n"
        "which goes to the devices and checks. Needs the extra sign.",
        example("edgesim bundle keygen line-3.key --passphrase"),
    )
    keygen.add_argument(
        "key", type=Path, metavar="KEYFILE", help="where to write the private key, in PEM; must not exist"
    )
    keygen.add_argument(
        "--passphrase",
        action="store_true",
        help=f"ask for a passphrase and encrypt the private key; {PASSPHRASE_VARIABLE} gives it without "
        "asking",
    )
    keygen.set_defaults(run=run_keygen)
    sign = add_action(
        actions,
        "sign",
        "sign a bundle, before it goes to the devices",
        "Check every byte of a bundle and write signature.json beside its manifest, in place of\n"
        "one that is there. Needs the extra sign.",
        example("edgesim bundle sign pi-bundle --key line-3.key --release 7"),
    )
    sign.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder of a bundle")
    sign.add_argument(
        "--key", type=Path, metavar="KEYFILE", required=True, help="the private key that keygen has made"
    )
    sign.add_argument(
        "--release",
        metavar="N",
        type=int,
        help="number of this bundle; devices take no lower one than they have (default: date and time in "
        "UTC, as 20261231235959)",
    )
    sign.set_defaults(run=run_sign)


def run_keygen(args: argparse.Namespace) -> int:
    """Make a key pair."""
    from edgesim.signing_keys import generate_key, public_path

    passphrase = _new_passphrase(args.key.name) if args.passphrase else None
    key = generate_key(args.key, passphrase)
    encrypted = "encrypted" if passphrase else "not encrypted"
    print(f"{args.key}: private key, {encrypted}; keep it on this PC, and a copy in a safe place")
    print(f"{public_path(args.key)}: public key {key.fingerprint}, for the devices")
    return 0


def run_sign(args: argparse.Namespace) -> int:
    """Sign a bundle."""
    from datetime import UTC, datetime

    from edgesim.signing import sign_bundle
    from edgesim.signing_keys import read_private_key

    key = read_private_key(args.key, lambda: _passphrase(f"passphrase of {args.key.name}: "))
    release = int(f"{datetime.now(UTC):%Y%m%d%H%M%S}") if args.release is None else args.release
    signature = sign_bundle(args.bundle, key, release)
    print(f"{args.bundle}: signed by the key {signature.key.fingerprint}, release {signature.release}")
    return 0


def _new_passphrase(name: str) -> bytes:
    from edgesim.errors import UsageError

    passphrase = _passphrase(f"passphrase for {name}: ")
    if not passphrase:
        raise UsageError("the passphrase is empty; leave out --passphrase for a key without one")
    if PASSPHRASE_VARIABLE not in os.environ and _passphrase("the same again: ") != passphrase:
        raise UsageError("the two passphrases differ; try again")
    return passphrase


def _passphrase(prompt: str) -> bytes:
    from edgesim.errors import UsageError

    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is not None:
        return os.fsencode(given)
    if not sys.stdin.isatty():
        raise UsageError(f"a passphrase is needed and there is no terminal; set {PASSPHRASE_VARIABLE}")
    from getpass import getpass

    return os.fsencode(getpass(prompt))
