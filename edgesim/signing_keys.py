"""Ed25519 keys as PEM files: the private one stays on the PC, the public one goes to the devices.

The files are what OpenSSL reads and writes: PKCS #8 and SubjectPublicKeyInfo (RFC 8410).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.errors import StorageError, UsageError, missing_dependency
from edgesim.files import sync_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_SUFFIX = ".pub"
# What stands before the 32 bytes of an Ed25519 public key in its SubjectPublicKeyInfo (RFC 8410, section 4).
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")


@dataclasses.dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key, as its 32 bytes."""

    raw: bytes

    @property
    def fingerprint(self) -> str:
        """What people compare: 32 hexadecimal digits of the SHA-256 of the key's SubjectPublicKeyInfo.

        The same as `openssl pkey -pubin -in KEY.pub -outform DER | sha256sum | cut -c-32`.
        """
        return hashlib.sha256(_SPKI_PREFIX + self.raw).hexdigest()[:32]


def public_path(path: Path) -> Path:
    """Return where the public key of a private key's file lies."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def generate_key(path: Path, passphrase: bytes | None = None) -> PublicKey:
    """Make a key pair: the private key at `path`, readable by its owner only, the public one beside it.

    Raises:
        UsageError: one of the two files exists: a key that is overwritten cannot be had again.
        StorageError: they cannot be written.
        MissingDependencyError: the package `cryptography` is not installed.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "making a key") from error
    private = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for file in (path, public_path(path)):
        if os.path.lexists(file):
            raise UsageError(f"{file}: already exists, and a key is never overwritten; name another file")
    _write_new(path, pem, 0o600)
    _write_new(public_path(path), public_pem, 0o644)
    return public_key_of(private)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


def public_key_of(private: Ed25519PrivateKey) -> PublicKey:
    """Return the public key of a private one."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return PublicKey(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def read_private_key(path: Path, ask_passphrase: Callable[[], bytes]) -> Ed25519PrivateKey:
    """Read a private key.

    Args:
        path: a PEM file, of PKCS #8.
        ask_passphrase: called if the key is encrypted.

    Raises:
        UsageError: no such file, not an Ed25519 private key, or the wrong passphrase.
        MissingDependencyError: the package `cryptography` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "signing a bundle") from error
    pem = _read(path)
    passphrase = ask_passphrase() if b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem else None
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError) as error:
        if passphrase is not None:
            raise UsageError(f"{path}: the passphrase is wrong, or the file is damaged") from error
        raise UsageError(f"{path}: {_NO_PRIVATE_KEY}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: {_NO_PRIVATE_KEY}")
    return key


_NO_PRIVATE_KEY = "not an Ed25519 private key in PEM; make one with: edgesim bundle keygen"


def read_public_keys(path: Path) -> list[PublicKey]:
    """Return the public key in a file, or those in all `*.pub` files of a folder, sorted by name.

    Raises:
        UsageError: no such file or folder, no key in it, or a `*.pub` file that is no Ed25519 public key.
        MissingDependencyError: the package `cryptography` is not installed.
    """
    try:
        if not path.is_dir():
            return [_read_public_key(path)]
        files = sorted(file for file in path.iterdir() if file.name.endswith(PUBLIC_SUFFIX))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    if not files:
        raise UsageError(f"{path}: holds no public key (looked for *{PUBLIC_SUFFIX}); copy one there")
    return [_read_public_key(file) for file in files]


def _read_public_key(path: Path) -> PublicKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "checking a signature") from error
    pem = _read(path)
    if b"PRIVATE KEY" in pem:
        raise UsageError(
            f"{path}: a private key, which belongs on the PC alone; give its {PUBLIC_SUFFIX} file"
        )
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: not an Ed25519 public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: not an Ed25519 public key in PEM")
    return PublicKey(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
