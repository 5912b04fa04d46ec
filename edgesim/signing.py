"""Signatures of bundles: who vouches for a bundle, and which release it is.

`signature.json`, beside the manifest, holds an Ed25519 signature (RFC 8032) over a statement of two lines:

    edgesim bundle signature 1
    {"bundle_format":1,"encoder_id":"…","encoder_name":"…","manifest_sha256":"…","release":7}

The first keeps a signature made for another purpose from counting here. The second is JSON with sorted keys,
no spaces and only ASCII. The manifest names the SHA-256 of every other file, so that every byte of the bundle
is signed. The statement is made anew wherever it is checked: nothing else in `signature.json` is believed.

Cryptography comes from the package `cryptography`, the extra `sign`; reading a signature needs only Python.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, UsageError, missing_dependency
from edgesim.files import write_atomic
from edgesim.manifest import FORMAT_VERSION as BUNDLE_FORMAT
from edgesim.signing_keys import PublicKey, public_key_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT_VERSION = 1
SIGNATURE = "signature.json"
RELEASE_MAX = 2**53  # what every reader of JSON represents exactly

_PURPOSE = f"edgesim bundle signature {FORMAT_VERSION}\n"
_SIGNATURE_BYTES_MAX = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """What a bundle's `signature.json` says; proves nothing until `check_signature` has returned it.

    Attributes:
        key: the public key that it says it was made with.
        release: the signer's number of this bundle; a higher one is newer.
        value: 64 bytes, RFC 8032.
    """

    key: PublicKey
    release: int
    value: bytes

    def to_json(self) -> bytes:
        """Return the content of `signature.json`."""
        document = {
            "format_version": FORMAT_VERSION,
            "public_key": self.key.raw.hex(),
            "release": self.release,
            "signature": self.value.hex(),
        }
        return (json.dumps(document, indent=2) + "\n").encode()


def statement(bundle: Bundle, release: int) -> bytes:
    """Return the bytes that are signed: see the top of this module."""
    facts = {
        "bundle_format": BUNDLE_FORMAT,
        "encoder_id": bundle.encoder_id,
        "encoder_name": bundle.spec.name,
        "manifest_sha256": bundle.manifest_sha256,
        "release": release,
    }
    return (_PURPOSE + json.dumps(facts, sort_keys=True, separators=(",", ":"))).encode("ascii")


def read_signature(folder: Path) -> Signature | None:
    """Return the signature in a bundle's folder, None if there is none. Raises `BundleError` if damaged."""
    path = folder / SIGNATURE
    try:
        with path.open("rb") as stream:
            raw = stream.read(_SIGNATURE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); copy the bundle again") from error
    try:
        document = json.loads(raw)
        key, value = (bytes.fromhex(document[name]) for name in ("public_key", "signature"))
        signature = Signature(key=PublicKey(key), release=document["release"], value=value)
        # Made again, so that no byte of it can change unseen.
        whole = type(signature.release) is int and (len(key), len(value)) == (32, 64)
        whole = whole and raw == signature.to_json()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    return signature


def _damaged(path: Path) -> BundleError:
    return BundleError(f"{path}: changed, damaged or of a newer edgesim; copy the bundle again")


def check_signature(bundle: Bundle, trusted: Sequence[PublicKey] | None) -> Signature | None:
    """Check a loaded bundle's signature.

    Args:
        bundle: its bytes have been checked against its manifest by `Bundle.load`.
        trusted: the keys that may have signed it; None lets any key, and no signature, pass.

    Returns:
        The signature, or None if there is none and none is asked for.

    Raises:
        BundleError: not signed, signed by another key, or the signature is not that of this bundle.
        MissingDependencyError: the package `cryptography` is not installed.
    """
    signature = read_signature(bundle.folder)
    if signature is None:
        if trusted is None:
            return None
        raise BundleError(
            f"{bundle.location}: not signed, and a signature is required; sign it on the PC with: "
            "edgesim bundle sign"
        )
    if trusted is not None and signature.key not in trusted:
        fingerprints = ", ".join(key.fingerprint for key in trusted)
        raise BundleError(
            f"{bundle.location}: signed by the key {signature.key.fingerprint}, which is not trusted here "
            f"(trusted: {fingerprints}); sign it with a trusted key, or add that key to them"
        )
    if not _valid(signature, statement(bundle, signature.release)):
        raise BundleError(
            f"{bundle.location}: {SIGNATURE} is not the signature of this bundle; copy the bundle again, or "
            "sign it again"
        )
    return signature


def _valid(signature: Signature, message: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "checking a signature") from error
    try:
        Ed25519PublicKey.from_public_bytes(signature.key.raw).verify(signature.value, message)
    except InvalidSignature:
        return False
    return True


def sign_bundle(folder: Path, key: Ed25519PrivateKey, release: int) -> Signature:
    """Sign the bundle in a folder, in place of a signature that may be there.

    Raises:
        UsageError: the release is not from 1 to `RELEASE_MAX`.
        BundleError: no bundle there, or a damaged one.
        StorageError: the folder cannot be written.
    """
    if not 1 <= release <= RELEASE_MAX:
        raise UsageError(f"--release {release}: expected a number from 1 to {RELEASE_MAX}")
    bundle = Bundle.load(folder)
    value = key.sign(statement(bundle, release))
    signature = Signature(key=public_key_of(key), release=release, value=value)
    write_atomic(folder / SIGNATURE, signature.to_json())
    return signature
