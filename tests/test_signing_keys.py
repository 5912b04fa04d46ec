"""Keys against RFC 8032 and OpenSSL; what is no key, or the wrong half of one, is refused by name."""

import base64
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgesim.errors import MissingDependencyError, StorageError, UsageError
from edgesim.signing_keys import PublicKey, generate_key, public_key_of, read_private_key, read_public_keys

# RFC 8032, section 7.1, test 1: secret key, public key, signature of the empty message.
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
    "d25bf5f0595bbe24655141438e7a100b"
)
# openssl pkey -in rfc.key -pubout -outform DER | sha256sum
FINGERPRINT = "06e3fd8fda29bb60ab59557de61edb0a"


def pem(label: str, prefix: str, raw: bytes) -> bytes:
    """Return a key in PEM by hand: RFC 8410's prefix, then the bytes."""
    text = base64.b64encode(bytes.fromhex(prefix) + raw).decode()
    return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n".encode()


PRIVATE_PEM = pem("PRIVATE KEY", "302e020100300506032b657004220420", SECRET)
PUBLIC_PEM = pem("PUBLIC KEY", "302a300506032b6570032100", PUBLIC)


def never() -> bytes:
    raise AssertionError("a passphrase is asked for")


def elliptic() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def elliptic_private() -> bytes:
    return elliptic().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def elliptic_public() -> bytes:
    return (
        elliptic()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True).stdout


def test_the_keys_of_the_rfc(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(PRIVATE_PEM)
    (tmp_path / "key.pub").write_bytes(PUBLIC_PEM)
    private = read_private_key(tmp_path / "key", never)
    assert public_key_of(private) == PublicKey(PUBLIC)
    assert private.sign(b"") == SIGNATURE
    assert read_public_keys(tmp_path / "key.pub") == [PublicKey(PUBLIC)]
    assert PublicKey(PUBLIC).fingerprint == FINGERPRINT


def test_openssl_reads_a_new_pair_and_finds_the_halves_to_belong_together(tmp_path: Path) -> None:
    key = generate_key(tmp_path / "key")
    der = openssl("pkey", "-in", tmp_path / "key", "-pubout", "-outform", "DER")
    assert der == openssl("pkey", "-pubin", "-in", tmp_path / "key.pub", "-outform", "DER")
    assert der[-32:] == key.raw
    assert read_public_keys(tmp_path / "key.pub") == [key]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.pub"]


def test_two_keys_are_never_the_same(tmp_path: Path) -> None:
    assert generate_key(tmp_path / "one") != generate_key(tmp_path / "two")


def test_an_encrypted_key(tmp_path: Path) -> None:
    key = generate_key(tmp_path / "key", b"open sesame")
    assert public_key_of(read_private_key(tmp_path / "key", lambda: b"open sesame")) == key
    der = openssl(
        "pkey", "-in", tmp_path / "key", "-passin", "pass:open sesame", "-pubout", "-outform", "DER"
    )
    assert der[-32:] == key.raw
    with pytest.raises(UsageError) as caught:
        read_private_key(tmp_path / "key", lambda: b"open barley")
    assert str(caught.value) == f"{tmp_path / 'key'}: the passphrase is wrong, or the file is damaged"


@pytest.mark.parametrize("there", ["key", "key.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"precious")
    with pytest.raises(UsageError) as caught:
        generate_key(tmp_path / "key")
    assert str(caught.value) == (
        f"{tmp_path / there}: already exists, and a key is never overwritten; name another file"
    )
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_bytes() == b"precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        generate_key(tmp_path / "none" / "key")
    assert str(caught.value) == f"{tmp_path}/none/key: cannot be written (No such file or directory)"


@pytest.mark.parametrize("content", [b"", b"\xff\0", PUBLIC_PEM, elliptic_private()])
def test_what_is_no_private_key(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_private_key(tmp_path / "key", never)
    assert str(caught.value) == (
        f"{tmp_path / 'key'}: not an Ed25519 private key in PEM; make one with: edgesim bundle keygen"
    )


@pytest.mark.parametrize("content", [b"", b"\xff\0", elliptic_public()])
def test_what_is_no_public_key(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pub").write_bytes(PUBLIC_PEM)
    (tmp_path / "b.pub").write_bytes(content)
    for path in (tmp_path, tmp_path / "b.pub"):
        with pytest.raises(UsageError) as caught:
            read_public_keys(path)
        assert str(caught.value) == f"{tmp_path / 'b.pub'}: not an Ed25519 public key in PEM"


def test_a_private_key_has_no_place_on_a_device(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_bytes(PRIVATE_PEM)
    with pytest.raises(UsageError) as caught:
        read_public_keys(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'a.pub'}: a private key, which belongs on the PC alone; give its .pub file"
    )


def test_the_keys_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_public_keys(tmp_path)
    assert str(caught.value) == f"{tmp_path}: holds no public key (looked for *.pub); copy one there"
    key = generate_key(tmp_path / "b")
    (tmp_path / "a.pub").write_bytes(PUBLIC_PEM)
    (tmp_path / "README").write_text("whose keys these are")
    assert read_public_keys(tmp_path) == [PublicKey(PUBLIC), key]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for read in (lambda path: read_private_key(path, never), read_public_keys):
        with pytest.raises(UsageError) as caught:
            read(tmp_path / "none")
        assert str(caught.value) == f"{tmp_path / 'none'}: cannot be read (No such file or directory)"


def test_without_cryptography(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.pub").write_bytes(PUBLIC_PEM)
    (tmp_path / "key").write_bytes(PRIVATE_PEM)
    for module in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, module, None)
    for purpose, action in {
        "making a key": lambda: generate_key(tmp_path / "new"),
        "signing a bundle": lambda: read_private_key(tmp_path / "key", never),
        "checking a signature": lambda: read_public_keys(tmp_path),
    }.items():
        with pytest.raises(MissingDependencyError) as caught:
            action()
        assert str(caught.value) == (
            f"{purpose} needs the package cryptography, which is not installed. "
            "Run: pip install 'edgesim[sign]'"
        )
