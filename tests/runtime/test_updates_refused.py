"""Updates that fail: signatures, self-tests, sources and folders; the bundle in use stays in use."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, StorageError
from edgesim.runtime import updates
from edgesim.runtime.bundle_store import StoreState, open_current, read_state
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.self_test import SelfTest, run_self_test
from edgesim.runtime.updates import install, rollback
from edgesim.signing_keys import generate_key, read_private_key
from tests.helpers import write_tiny_bundle
from tests.runtime.stores import FINGERPRINT, PASSED, STORE, in_use, refused, tree


def test_a_device_that_requires_signatures(
    offer: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = generate_key(tmp_path / "keys")
    (tmp_path / "device.toml").write_text('require_signed_bundles = true\ntrusted_keys = "keys.pub"')
    install(offer(0), STORE)
    monkeypatch.setenv("EDGESIM_CONFIG", "device.toml")
    with pytest.raises(BundleError, match=r"^store: not signed, and a signature is required"):
        open_bundle("store")
    usb = offer(1)
    assert refused(lambda: install(usb, STORE, allow_downgrade=True)).startswith("usb: not signed, and a sig")
    usb = offer(1, release=1)
    assert refused(lambda: install(usb, STORE)).startswith(
        f"usb: signed by the key {FINGERPRINT}, which is not"
    )
    install(offer(1, release=1, key=read_private_key(tmp_path / "keys", bytes)), STORE)
    assert in_use() == "tiny-1"
    state = read_state(STORE)
    assert state is not None
    assert state.current.key == key.fingerprint
    # The one before has no signature: the self-test's process opens it as any command does.
    assert refused(lambda: rollback(STORE)).startswith(
        "store/versions/1: not signed, and a signature is required"
    )


def test_a_wrong_signature_is_refused_where_none_is_required(offer: Callable[..., Path]) -> None:
    usb = offer(0, release=5)
    shutil.copy(usb / "signature.json", "taken")
    usb = offer(1)
    shutil.copy("taken", usb / "signature.json")
    with pytest.raises(BundleError) as caught:
        install(usb, STORE)
    assert str(caught.value) == (
        "usb: signature.json is not the signature of this bundle; copy the bundle again, or sign it again; "
        "nothing was installed"
    )
    assert read_state(STORE) is None


# What fails.


@pytest.mark.parametrize("call", [1, 2])
def test_a_failed_self_test_before_or_after_the_switch(
    offer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    install(offer(0), STORE)
    install(offer(1), STORE)
    calls = iter(range(1, 9))

    def failing(location: Path) -> SelfTest:
        if next(calls) == call:
            raise BundleError("b: self-test failed, the inference engine crashed with SIGILL")
        return PASSED

    monkeypatch.setattr(updates, "run_self_test", failing)
    usb, title = offer(2), open_bundle("store").title
    assert refused(lambda: install(usb, STORE)) == (
        "b: self-test failed, the inference engine crashed with SIGILL; "
        f"store still holds {title}, not signed"
    )
    calls = iter(range(1, 9))
    assert refused(lambda: rollback(STORE)).endswith(f"; store still holds {title}, not signed")


def test_a_first_installation_that_fails_its_last_check(
    offer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(location: Path) -> SelfTest:
        if location == STORE:
            raise BundleError("no good")
        return PASSED

    monkeypatch.setattr(updates, "run_self_test", failing)
    with pytest.raises(BundleError, match=r"^no good; nothing was installed$"):
        install(offer(0), STORE)
    with pytest.raises(BundleError) as caught:
        open_current(STORE)
    assert str(caught.value) == (
        "store: nothing is installed there; run: edgesim bundle install BUNDLE --into store"
    )
    assert list((STORE / "versions").iterdir()) == []


def test_going_back_fails_too(offer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    install(offer(0), STORE)
    really, writes = updates.write_state, iter(range(1, 9))

    def failing(location: Path) -> SelfTest:
        if location == STORE:
            raise BundleError("no good")
        return PASSED

    def full(store: Path, state: StoreState) -> None:
        if next(writes) > 1:
            raise StorageError("the disk is full")
        really(store, state)

    monkeypatch.setattr(updates, "run_self_test", failing)
    monkeypatch.setattr(updates, "write_state", full)
    usb = offer(1)
    with pytest.raises(StorageError) as caught:
        install(usb, STORE)
    title = open_bundle("store").title
    assert str(caught.value) == f"the disk is full; store now holds {title}, not signed"
    assert in_use() == "tiny-1"
    assert sorted(path.name for path in (STORE / "versions").iterdir()) == ["1", "2"]


def test_an_encoder_that_computes_something_else_here(
    offer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the true self-test: golden embeddings of the wrong sign, and a manifest that agrees with them."""
    install(offer(0), STORE)
    usb = offer(1)
    monkeypatch.setattr(updates, "run_self_test", run_self_test)
    _, embeddings = Bundle.load(usb).golden("onnx")
    monkeypatch.setattr("tests.helpers.TinyEncoder.embed", lambda self, pixels: -embeddings[0])
    shutil.rmtree(usb)
    write_tiny_bundle(usb, 1)
    assert refused(lambda: install(usb, STORE)).startswith(
        f"{Path.cwd()}/store/versions/2: self-test failed, onnxruntime "
    )
    assert in_use() == "tiny-0"


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "signature.json"])
def test_a_damaged_source(offer: Callable[..., Path], name: str) -> None:
    install(offer(0, release=1), STORE)
    usb = offer(1, release=2)
    content = (usb / name).read_bytes()
    (usb / name).write_bytes(content[:-1])
    assert refused(lambda: install(usb, STORE)).startswith(f"usb/{name}: changed")


def test_a_source_that_changes_between_two_readings(
    offer: Callable[..., Path], four_bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a memory stick may that is no memory stick: good when it is checked, another when it is copied."""
    install(offer(0, release=1), STORE)
    usb = offer(1, release=2)
    copy = updates.copy_bundle

    def swapped(source: Bundle, target: Path) -> None:
        shutil.copytree(four_bundles[2], usb, dirs_exist_ok=True)
        (usb / "signature.json").unlink()
        copy(source, target)

    monkeypatch.setattr(updates, "copy_bundle", swapped)
    assert refused(lambda: install(usb, STORE)).startswith(
        "usb: changed while it was copied; try again; store"
    )


@pytest.mark.parametrize("make", [Path.symlink_to, lambda path, _: os.mkfifo(path)], ids=["link", "pipe"])
def test_a_source_of_links_and_pipes(
    offer: Callable[..., Path], make: Callable[[Path, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(offer(0), STORE)
    usb = offer(1)
    loaded = Bundle.load(usb)
    shutil.move(usb / "model.onnx", "secret")
    make(usb / "model.onnx", Path("secret").absolute())
    monkeypatch.setattr("edgesim.runtime.updates.Bundle.load", lambda folder: loaded)
    reason = (
        "cannot be read (Too many levels of symbolic links)"
        if (usb / "model.onnx").is_symlink()
        else "not an ordinary file"
    )
    before = tree(STORE)
    with pytest.raises(BundleError) as caught:
        install(usb, STORE)
    assert str(caught.value).startswith(f"usb/model.onnx: {reason}; copy the bundle again; store still holds")
    assert tree(STORE) == before


def test_folders_that_are_no_store(offer: Callable[..., Path]) -> None:
    usb = offer(0)
    Path("photos").mkdir()
    Path("photos/holiday.jpg").write_bytes(b"precious")
    Path("file").write_bytes(b"")
    for name, reason in {
        "photos": "it holds holiday.jpg",
        "usb": "it holds golden.npz",
        "file": "it is a file",
    }.items():
        with pytest.raises(BundleError) as caught:
            install(usb, Path(name))
        assert str(caught.value) == f"{name}: no store, {reason}; name a new or an empty folder"
    assert [path.name for path in Path("photos").iterdir()] == ["holiday.jpg"]
    assert len(list(usb.iterdir())) == 4


def test_a_store_that_cannot_be_made(offer: Callable[..., Path]) -> None:
    Path("file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        install(offer(0), Path("file/store"))
    assert str(caught.value) == "file/store: cannot be written (Not a directory)"
