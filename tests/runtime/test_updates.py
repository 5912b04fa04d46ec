"""Installing bundles and going back: what is accepted, in which order, and what is in use afterwards.

The self-test's process is replaced by one that passes; test_self_test.py has its own tests.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgesim.bundle import Bundle
from edgesim.errors import BundleError
from edgesim.runtime.bundle_store import StoreState, Version, read_state
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.updates import Update, install, rollback
from edgesim.signing_keys import public_key_of
from tests.runtime.stores import FINGERPRINT, PASSED, STORE, in_use, refused, tree


def test_the_first_installation(
    offer: Callable[..., Path], four_bundles: list[Path], tested: list[str]
) -> None:
    update = install(offer(0), STORE)
    manifest = Bundle.load(four_bundles[0])
    current = Version(
        number=1,
        encoder_id=manifest.encoder_id,
        encoder_name="tiny-0",
        manifest_sha256=manifest.manifest_sha256,
    )
    assert update == Update(current=current, before=None, self_test=PASSED)
    assert not update.encoder_changed
    assert read_state(STORE) == StoreState(current=current, previous=None)
    assert tested == ["store/versions/1 tiny-0", "store tiny-0"]
    for path in four_bundles[0].iterdir():
        assert (STORE / "versions" / "1" / path.name).read_bytes() == path.read_bytes()
    assert len(list((STORE / "versions" / "1").iterdir())) == len(list(four_bundles[0].iterdir()))


def test_current_and_previous_are_kept_and_no_more(offer: Callable[..., Path], tested: list[str]) -> None:
    for seed in range(4):
        update = install(offer(seed), STORE)
        assert in_use() == f"tiny-{seed}"
        assert update.encoder_changed == (seed > 0)
    assert sorted(path.name for path in (STORE / "versions").iterdir()) == ["3", "4"]
    assert sorted(path.name for path in STORE.iterdir()) == ["lock", "store.json", "versions"]
    assert tested[-2:] == ["store/versions/4 tiny-3", "store tiny-3"]


def test_only_the_bundle_s_files_are_copied(offer: Callable[..., Path]) -> None:
    usb = offer(0, release=1)
    (usb / "autorun.inf").write_bytes(b"hello")
    (usb / "DCIM").mkdir()
    install(usb, STORE)
    names = ["golden.npz", "manifest.json", "model.onnx", "model_card.md", "signature.json"]
    assert sorted(path.name for path in (STORE / "versions" / "1").iterdir()) == names


def test_what_is_installed_is_readable_by_the_service_whatever_the_umask(offer: Callable[..., Path]) -> None:
    usb = offer(0)
    before = os.umask(0o077)
    try:
        install(usb, STORE)
    finally:
        os.umask(before)
    folder = STORE / "versions" / "1"
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in [*folder.iterdir(), STORE / "store.json"]} == {0o644}


def test_the_same_again_does_nothing(offer: Callable[..., Path], tested: list[str]) -> None:
    first = install(offer(0, release=3), STORE)
    before = tree(STORE)
    tested.clear()
    assert install(Path("usb"), STORE) == Update(current=first.current, before=first.current, self_test=None)
    assert tree(STORE) == before
    assert tested == []


def test_the_same_again_mends_a_damaged_bundle(offer: Callable[..., Path]) -> None:
    install(offer(0), STORE)
    install(offer(1), STORE)
    (STORE / "versions" / "2" / "model.onnx").write_bytes(b"rotten")
    with pytest.raises(BundleError, match=r"^store/versions/2/model\.onnx: changed or damaged"):
        open_bundle("store")
    update = install(Path("usb"), STORE)
    assert update.current.number == 3
    assert in_use() == "tiny-1"
    # What is damaged is nothing to go back to.
    assert rollback(STORE).current.encoder_name == "tiny-0"


# Order.


def test_higher_releases_follow_each_other(offer: Callable[..., Path]) -> None:
    for seed, release in ((0, 1), (1, 2), (2, 10)):
        update = install(offer(seed, release), STORE)
        assert (update.current.release, update.current.key) == (release, FINGERPRINT)


def test_a_lower_release(offer: Callable[..., Path]) -> None:
    install(offer(0, release=5), STORE)
    usb = offer(1, release=4)
    title = open_bundle("store").title
    assert refused(lambda: install(usb, STORE)) == (
        "usb: release 4, older than the one in use; pass --allow-downgrade if that is wanted; "
        f"store still holds {title}, release 5"
    )
    install(usb, STORE, allow_downgrade=True)
    assert in_use() == "tiny-1"


def test_an_unsigned_bundle_in_place_of_a_signed_one(offer: Callable[..., Path]) -> None:
    install(offer(0, release=5), STORE)
    usb = offer(1)
    assert refused(lambda: install(usb, STORE)).startswith(
        "usb: not signed, and the bundle in use is; pass --allow-downgrade if that is wanted; store still"
    )
    install(usb, STORE, allow_downgrade=True)
    assert in_use() == "tiny-1"
    install(offer(2, release=1), STORE)
    assert in_use() == "tiny-2"


@pytest.mark.parametrize("allow", [False, True])
def test_the_same_release_with_other_content(offer: Callable[..., Path], allow: bool) -> None:
    install(offer(0, release=5), STORE)
    usb = offer(1, release=5)
    assert refused(lambda: install(usb, STORE, allow_downgrade=allow)).startswith(
        "usb: release 5 as the one in use, but with other content; sign it with a higher --release; store"
    )


def test_the_same_content_signed_by_a_new_key(offer: Callable[..., Path]) -> None:
    install(offer(0, release=5), STORE)
    new = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    update = install(offer(0, release=5, key=new), STORE)
    assert update.current.key == public_key_of(new).fingerprint != FINGERPRINT
    assert not update.encoder_changed


# Going back.


def test_rollback_and_back_again(offer: Callable[..., Path], tested: list[str]) -> None:
    install(offer(0, release=1), STORE)
    install(offer(1, release=2), STORE)
    tested.clear()
    update = rollback(STORE)
    assert in_use() == "tiny-0"
    assert update.before is not None
    assert (update.before.release, update.current.release, update.encoder_changed) == (2, 1, True)
    assert tested == ["store/versions/1 tiny-0", "store tiny-0"]
    rollback(STORE)
    assert in_use() == "tiny-1"
    # The numbers of folders go on from the highest.
    rollback(STORE)
    assert install(offer(2, release=3), STORE).current.number == 3


def test_nothing_to_go_back_to(offer: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match=r"^store: nothing is installed there$"):
        rollback(STORE)
    install(offer(0), STORE)
    assert refused(lambda: rollback(STORE)) == "store: holds no bundle from before; install one"


def test_a_damaged_bundle_is_not_gone_back_to(offer: Callable[..., Path]) -> None:
    install(offer(0), STORE)
    install(offer(1), STORE)
    (STORE / "versions" / "1" / "model.onnx").write_bytes(b"rotten")
    assert refused(lambda: rollback(STORE)).startswith("store/versions/1/model.onnx: changed or damaged")
    assert in_use() == "tiny-1"
