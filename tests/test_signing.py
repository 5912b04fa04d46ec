"""Signatures of bundles, checked by OpenSSL over a statement made by hand; whatever is changed is refused."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, MissingDependencyError, UsageError
from edgesim.signing import RELEASE_MAX, SIGNATURE, Signature, check_signature, read_signature, sign_bundle
from edgesim.signing_keys import PublicKey, generate_key, public_key_of, read_private_key, read_public_keys

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = public_key_of(PRIVATE)
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A bundle, signed as release 7."""
    shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    sign_bundle(tmp_path / "bundle", PRIVATE, 7)
    return tmp_path / "bundle"


def refusal(folder: Path, trusted: list[PublicKey] | None = None) -> str:
    with pytest.raises(BundleError) as caught:
        check_signature(Bundle.load(folder), trusted)
    return str(caught.value)


def other_statement(folder: Path) -> str:
    return (
        f"{folder}: {SIGNATURE} is not the signature of this bundle; copy the bundle again, or sign it again"
    )


def test_openssl_accepts_the_signature_over_a_statement_made_by_hand(
    tmp_path: Path, tiny_bundle: Bundle
) -> None:
    shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    generate_key(tmp_path / "key")
    sign_bundle(tmp_path / "bundle", read_private_key(tmp_path / "key", bytes), 7)
    manifest = (tmp_path / "bundle" / "manifest.json").read_bytes()
    document = json.loads((tmp_path / "bundle" / "signature.json").read_text())
    (tmp_path / "statement").write_text(
        "edgesim bundle signature 1\n"
        f'{{"bundle_format":1,"encoder_id":"{tiny_bundle.encoder_id}","encoder_name":"tiny-0",'
        f'"manifest_sha256":"{hashlib.sha256(manifest).hexdigest()}","release":7}}'
    )
    (tmp_path / "value").write_bytes(bytes.fromhex(document["signature"]))
    command = "openssl pkeyutl -verify -pubin -inkey key.pub -rawin -in statement -sigfile value"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Signature Verified Successfully\n")
    (key,) = read_public_keys(tmp_path / "key.pub")
    assert document["public_key"] == key.raw.hex()
    assert set(document) == {"format_version", "public_key", "release", "signature"}


def test_what_a_signature_says(folder: Path) -> None:
    bundle = Bundle.load(folder)
    signature = check_signature(bundle, [KEY])
    assert signature == check_signature(bundle, None) == read_signature(folder)
    assert signature is not None
    assert (signature.key, signature.release) == (KEY, 7)
    assert check_signature(bundle, [public_key_of(STRANGER), KEY]) == signature


def test_signing_changes_no_other_file(folder: Path, tiny_bundle: Bundle) -> None:
    (folder / SIGNATURE).unlink()
    for path in tiny_bundle.folder.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert len(list(folder.iterdir())) == len(list(tiny_bundle.folder.iterdir()))


def test_a_bundle_without_a_signature(folder: Path) -> None:
    (folder / SIGNATURE).unlink()
    assert check_signature(Bundle.load(folder), None) is None
    assert refusal(folder, [KEY]) == (
        f"{folder}: not signed, and a signature is required; sign it on the PC with: edgesim bundle sign"
    )


def test_another_key(folder: Path) -> None:
    trusted = [public_key_of(STRANGER), PublicKey(bytes(32))]
    assert refusal(folder, trusted) == (
        f"{folder}: signed by the key {KEY.fingerprint}, which is not trusted here (trusted: "
        f"{trusted[0].fingerprint}, {trusted[1].fingerprint}); sign it with a trusted key, or add that key "
        "to them"
    )


def test_naming_a_trusted_key_is_not_having_it(folder: Path) -> None:
    value = sign_bundle(folder, STRANGER, 7).value
    (folder / SIGNATURE).write_bytes(Signature(key=KEY, release=7, value=value).to_json())
    assert refusal(folder, [KEY]) == other_statement(folder)


@pytest.mark.parametrize("release", [6, 8, 0, -7])
def test_another_release(folder: Path, release: int) -> None:
    value = sign_bundle(folder, PRIVATE, 7).value
    (folder / SIGNATURE).write_bytes(Signature(key=KEY, release=release, value=value).to_json())
    for trusted in (None, [KEY]):
        assert refusal(folder, trusted) == other_statement(folder)


def test_the_signature_of_another_bundle(folder: Path, other_bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(other_bundle.folder, tmp_path / "other")
    sign_bundle(tmp_path / "other", PRIVATE, 7)
    shutil.copy(tmp_path / "other" / SIGNATURE, folder)
    assert refusal(folder, [KEY]) == other_statement(folder)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.npz", "model_card.md", SIGNATURE])
def test_a_changed_byte_anywhere(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    # Every byte of the signature; of longer files 50, the first and the last among them.
    step = 1 if name == SIGNATURE else max(1, (len(whole) - 1) // 49)
    for place in {*range(0, len(whole), step), len(whole) - 1}:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        (folder / name).write_bytes(damaged)
        assert refusal(folder, [KEY]).startswith(str(folder))


def reseal(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and make its own digest right again, as a forger would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    change(manifest)
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def test_a_forged_manifest(folder: Path) -> None:
    (folder / "model_card.md").write_bytes(b"Trust me.\n")
    digest = hashlib.sha256(b"Trust me.\n").hexdigest()
    reseal(folder, lambda manifest: manifest["files"].update({"model_card.md": digest}))
    assert refusal(folder, [KEY]) == other_statement(folder)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{}", b"\xff", b'{"public_key": "zz"}', b"[" * 5000, b" " * 5000]
)
def test_a_damaged_signature_file(folder: Path, content: bytes) -> None:
    (folder / SIGNATURE).write_bytes(content)
    assert refusal(folder) == (
        f"{folder / SIGNATURE}: changed, damaged or of a newer edgesim; copy the bundle again"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("release", 7.0),
        ("release", True),
        ("format_version", 2),
        ("public_key", "00" * 31),
        ("signature", "00" * 65),
    ],
)
def test_a_signature_file_of_another_form(folder: Path, name: str, value: object) -> None:
    document = json.loads((folder / SIGNATURE).read_text())
    (folder / SIGNATURE).write_text(json.dumps({**document, name: value}, indent=2) + "\n")
    assert refusal(folder) == (
        f"{folder / SIGNATURE}: changed, damaged or of a newer edgesim; copy the bundle again"
    )


def test_a_signature_that_cannot_be_read(folder: Path) -> None:
    (folder / SIGNATURE).unlink()
    (folder / SIGNATURE).mkdir()
    assert refusal(folder) == f"{folder / SIGNATURE}: cannot be read (Is a directory); copy the bundle again"


@pytest.mark.parametrize("release", [0, -1, RELEASE_MAX + 1])
def test_releases_that_no_bundle_can_have(folder: Path, release: int) -> None:
    with pytest.raises(UsageError) as caught:
        sign_bundle(folder, PRIVATE, release)
    assert str(caught.value) == f"--release {release}: expected a number from 1 to 9007199254740992"


def test_a_damaged_bundle_is_not_signed(folder: Path) -> None:
    before = (folder / SIGNATURE).read_bytes()
    (folder / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"model\.onnx: changed or damaged"):
        sign_bundle(folder, PRIVATE, 8)
    assert (folder / SIGNATURE).read_bytes() == before


def test_checking_without_cryptography(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.load(folder)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingDependencyError) as caught:
        check_signature(bundle, None)
    assert str(caught.value) == (
        "checking a signature needs the package cryptography, which is not installed. "
        "Run: pip install 'edgesim[sign]'"
    )
    (folder / SIGNATURE).unlink()
    assert check_signature(bundle, None) is None
