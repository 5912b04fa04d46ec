"""`edgesim bundle install|rollback|status`, with the true self-test, and a store in the place of a bundle."""

import json
import shutil
from pathlib import Path

import onnxruntime
import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from tests.helpers import run_python, write_photos

Captured = pytest.CaptureFixture[str]
PASSED = f"onnxruntime {onnxruntime.__version__}: reproduces the golden embeddings, lowest cosine 1.0000\n"
# The disk has no room for a second bundle beside the first.
FULL_DISK = """
import subprocess, sys
from edgesim.cli.main import main
disk, first, second, size = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], check=True)
store = disk + "/store"
print(main(["bundle", "install", first, "--into", store]), flush=True)
print(main(["bundle", "install", second, "--into", store]), flush=True)
print(main(["bundle", "status", store]), main(["bundle", "verify", store]))
"""


@pytest.fixture
def here(tmp_path: Path, tiny_bundle: Bundle, other_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the bundles `old` and `new`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle.folder, "old")
    shutil.copytree(other_bundle.folder, "new")
    return tmp_path


def test_install_status_and_rollback(
    here: Path, capsys: Captured, tiny_bundle: Bundle, other_bundle: Bundle
) -> None:
    old, new = f"{tiny_bundle.title}, not signed", f"{other_bundle.title}, not signed"
    assert main(["bundle", "install", "old", "--into", "store"]) == 0
    assert capsys.readouterr() == (f"store: now holds {old}\n{PASSED}", "")
    assert main(["bundle", "status", "store"]) == 0
    assert capsys.readouterr().out == f"in use: {old}\nbefore: nothing\n"
    assert main(["bundle", "install", "old", "--into", "store"]) == 0
    assert capsys.readouterr().out == f"store: holds {old} already\n"
    assert main(["bundle", "install", "new", "--into", "store"]) == 0
    changed = f"another encoder: indexes made with {tiny_bundle.title} must be made again\n"
    assert capsys.readouterr().out == f"store: now holds {new}\n{PASSED}{changed}"
    assert main(["bundle", "rollback", "store"]) == 0
    changed = f"another encoder: indexes made with {other_bundle.title} must be made again\n"
    assert capsys.readouterr().out == f"store: now holds {old}\n{PASSED}{changed}"
    assert main(["bundle", "status", "store"]) == 0
    assert capsys.readouterr().out == f"in use: {old}\nbefore: {new}\n"


def test_status_as_json(here: Path, capsys: Captured, tiny_bundle: Bundle) -> None:
    assert main(["bundle", "keygen", "key"]) == 0
    assert main(["bundle", "sign", "old", "--key", "key", "--release", "3"]) == 0
    assert main(["bundle", "install", "old", "--into", "store"]) == 0
    fingerprint = capsys.readouterr().out.split("public key ")[1].split(",")[0]
    assert main(["bundle", "status", "store", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "current": {
            "number": 1,
            "encoder_id": tiny_bundle.encoder_id,
            "encoder_name": "tiny-0",
            "manifest_sha256": tiny_bundle.manifest_sha256,
            "release": 3,
            "key": fingerprint,
        },
        "previous": None,
    }
    assert main(["bundle", "status", "store"]) == 0
    assert capsys.readouterr().out == (
        f"in use: {tiny_bundle.title}, release 3, key {fingerprint}\nbefore: nothing\n"
    )


def test_a_store_is_a_bundle_to_every_command(
    here: Path, capsys: Captured, tiny_bundle: Bundle, other_bundle: Bundle
) -> None:
    write_photos(here / "photos", 3)
    assert main(["bundle", "install", "old", "--into", "store"]) == 0
    assert main(["index", "add", "parts", "photos", "--encoder", "store"]) == 0
    assert main(["bundle", "verify", "store"]) == 0
    capsys.readouterr()
    assert main(["query", "parts", "photos/0001.png", "--json"]) == 0
    first = capsys.readouterr().out
    # The index remembers the store and not the version in it, which the second update removes.
    assert main(["bundle", "install", "new", "--into", "store"]) == 0
    capsys.readouterr()
    assert main(["query", "parts", "photos/0001.png"]) == 5
    assert capsys.readouterr().err.startswith(
        f"edgesim: parts: made with {here}/store, the encoder {tiny_bundle.title}, and {here}/store holds "
        f"the encoder {other_bundle.title}, whose vectors cannot be compared;"
    )
    assert main(["bundle", "rollback", "store"]) == 0
    capsys.readouterr()
    assert main(["query", "parts", "photos/0001.png", "--json"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("install none --into store", 4, "none: not a bundle, manifest.json cannot be read (No such file or"),
        ("install old --into new", 4, "new: no store, it holds golden.npz; name a new or an empty folder"),
        (
            "install old --into old/model_card.md/x",
            8,
            "old/model_card.md/x: cannot be written (Not a directory)",
        ),
        ("rollback none", 4, "none: nothing is installed there"),
        ("status none", 4, "none: nothing is installed there; run: edgesim bundle install"),
        (
            "status old/model_card.md",
            4,
            "old/model_card.md: nothing is installed there; run: edgesim bundle in",
        ),
    ],
)
def test_requests_that_cannot_be_met(
    here: Path, capsys: Captured, arguments: str, status: int, message: str
) -> None:
    assert main(["bundle", *arguments.split()]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"edgesim: {message}")
    assert err.count("\n") == 1


def test_a_full_disk(here: Path, tiny_bundle: Bundle) -> None:
    (here / "disk").mkdir()
    used = sum(-(-path.stat().st_size // 4096) * 4096 for path in Path("old").iterdir())
    result = run_python("-c", FULL_DISK, "disk", "old", "new", str(used + 3 * 4096), own_mounts=True)
    lines = result.stdout.splitlines()
    title = f"{tiny_bundle.title}, not signed"
    assert lines[0] == f"disk/store: now holds {title}"
    assert [lines[2], lines[3], lines[-1]] == ["0", "8", "0 0"]
    assert f"in use: {title}" in lines
    assert result.stderr == (
        "edgesim: disk/store/versions/2: cannot be written (No space left on device); "
        f"disk/store still holds {title}\n"
    )
