"""`edgesim bundle keygen|sign`, and what `verify` and the other commands make of a signature."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.signing import read_signature
from edgesim.signing_keys import read_public_keys
from tests.helpers import write_photos

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a bundle that is not signed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGESIM_PASSPHRASE", raising=False)
    shutil.copytree(tiny_bundle.folder, "bundle")
    return tmp_path


def fingerprint(file: str = "line-3.key.pub") -> str:
    (key,) = read_public_keys(Path(file))
    return key.fingerprint


def failed(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Run a command; return its status and its one line on stderr, without the program's name."""
    capsys.readouterr()
    status = main(list(arguments))
    err = capsys.readouterr().err
    assert (err.count("\n"), err[:9]) == (1, "edgesim: ")
    return status, err[9:-1]


def test_keygen_sign_and_verify(here: Path, capsys: Captured) -> None:
    assert main(["bundle", "keygen", "line-3.key"]) == 0
    assert capsys.readouterr().out == (
        "line-3.key: private key, not encrypted; keep it on this PC, and a copy in a safe place\n"
        f"line-3.key.pub: public key {fingerprint()}, for the devices\n"
    )
    assert main(["bundle", "sign", "bundle", "--key", "line-3.key", "--release", "7"]) == 0
    assert capsys.readouterr().out == f"bundle: signed by the key {fingerprint()}, release 7\n"
    for options, trusted in (
        ([], "not compared with any trusted key"),
        (["--public-key", "line-3.key.pub"], "a trusted key"),
        (["--public-key", "."], "a trusted key"),
    ):
        assert main(["bundle", "verify", "bundle", *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1] == f"bundle: signed by the key {fingerprint()} ({trusted}), release 7"
        assert len(lines) == 3


def test_verify_with_another_key_and_without_a_signature(here: Path, capsys: Captured) -> None:
    for name in ("line-3.key", "other.key"):
        assert main(["bundle", "keygen", name]) == 0
    assert failed(capsys, "bundle", "verify", "bundle", "--public-key", "other.key.pub") == (
        4,
        "bundle: not signed, and a signature is required; sign it on the PC with: edgesim bundle sign",
    )
    assert main(["bundle", "sign", "bundle", "--key", "line-3.key"]) == 0
    status, message = failed(capsys, "bundle", "verify", "bundle", "--public-key", "other.key.pub")
    assert status == 4
    assert message.startswith(
        f"bundle: signed by the key {fingerprint()}, which is not trusted here (trusted: "
    )
    assert failed(capsys, "bundle", "verify", "copy", "--public-key", "other.key.pub")[0] == 4


def test_the_release_is_the_time_unless_it_is_given(here: Path) -> None:
    assert main(["bundle", "keygen", "line-3.key"]) == 0
    before = datetime.now(UTC)
    assert main(["bundle", "sign", "bundle", "--key", "line-3.key"]) == 0
    signature = read_signature(Path("bundle"))
    assert signature is not None
    when = datetime.strptime(str(signature.release), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    assert before.replace(microsecond=0) <= when <= datetime.now(UTC)


def test_a_passphrase_from_the_environment(
    here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESIM_PASSPHRASE", "open sesame")
    assert main(["bundle", "keygen", "line-3.key", "--passphrase"]) == 0
    assert capsys.readouterr().out.startswith("line-3.key: private key, encrypted; keep it")
    sign = ["bundle", "sign", "bundle", "--key", "line-3.key"]
    assert main(sign) == 0
    monkeypatch.setenv("EDGESIM_PASSPHRASE", "open barley")
    assert failed(capsys, *sign) == (2, "line-3.key: the passphrase is wrong, or the file is damaged")
    monkeypatch.delenv("EDGESIM_PASSPHRASE")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert failed(capsys, *sign) == (
        2,
        "a passphrase is needed and there is no terminal; set EDGESIM_PASSPHRASE",
    )


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["sesame", "barley"], "the two passphrases differ; try again"),
        ([""], "the passphrase is empty; leave out --passphrase for a key without one"),
    ],
)
def test_a_passphrase_mistyped(
    here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, typed: list[str], message: str
) -> None:
    answers = iter(typed)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    assert failed(capsys, "bundle", "keygen", "line-3.key", "--passphrase") == (2, message)
    assert not Path("line-3.key").exists()


def test_a_passphrase_typed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return "sesame"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", answer)
    assert main(["bundle", "keygen", "line-3.key", "--passphrase"]) == 0
    assert main(["bundle", "sign", "bundle", "--key", "line-3.key"]) == 0
    assert prompts == ["passphrase for line-3.key: ", "the same again: ", "passphrase of line-3.key: "]


def test_requests_that_cannot_be_met(here: Path, capsys: Captured) -> None:
    assert main(["bundle", "keygen", "line-3.key"]) == 0
    assert failed(capsys, "bundle", "keygen", "line-3.key")[0] == 2
    assert failed(capsys, "bundle", "sign", "bundle", "--key", "line-3.key", "--release", "0")[0] == 2
    assert failed(capsys, "bundle", "sign", "bundle", "--key", "line-3.key.pub")[0] == 2
    assert failed(capsys, "bundle", "sign", "none", "--key", "line-3.key")[0] == 4
    assert failed(capsys, "bundle", "keygen", "none/line-3.key")[0] == 8
    assert failed(capsys, "bundle", "verify", "bundle", "--public-key", "none") == (
        2,
        "none: cannot be read (No such file or directory)",
    )


def test_a_device_that_requires_signatures(
    here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(here / "photos", 3)
    shutil.copytree("bundle", "strange")
    for name in ("line-3.key", "other.key"):
        assert main(["bundle", "keygen", name]) == 0
    assert main(["index", "add", "parts", "photos", "--encoder", "bundle"]) == 0
    assert main(["bundle", "sign", "strange", "--key", "other.key"]) == 0
    Path("device.toml").write_text('require_signed_bundles = true\ntrusted_keys = "line-3.key.pub"\n')
    monkeypatch.setenv("EDGESIM_CONFIG", str(here / "device.toml"))
    commands = [
        ["query", "parts", "photos/0000.png"],
        ["index", "add", "parts", "photos"],
        ["index", "add", "new", "photos", "--encoder", "bundle"],
        ["bundle", "show", "bundle"],
        ["bundle", "verify", "bundle"],
        ["bundle", "install", "bundle", "--into", "store"],
    ]
    for command in commands:
        status, message = failed(capsys, *command)
        assert status == 4
        assert re.match(r"\S*bundle: not signed, and a signature is required; sign it", message)
    status, message = failed(capsys, "bundle", "show", "strange")
    assert (status, message[:40]) == (4, f"strange: signed by the key {fingerprint('other.key.pub')}"[:40])
    assert main(["bundle", "sign", "bundle", "--key", "line-3.key"]) == 0
    for command in commands:
        assert main(command) == 0
    # The built-in encoders are parts of the program.
    assert main(["bundle", "show", "copy"]) == 0
    Path("device.toml").write_text("require_signed_bundles = yes\n")
    for command in commands:
        status, message = failed(capsys, *command)
        assert status == 2
        assert message.startswith(f"{here}/device.toml: not TOML")
