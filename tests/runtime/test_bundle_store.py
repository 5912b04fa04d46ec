"""The state of a store, damaged in every way, and several programs at one store."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import BundleError
from edgesim.runtime import updates
from edgesim.runtime.bundle_store import open_current
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.self_test import SelfTest
from edgesim.runtime.updates import install, rollback
from tests.runtime.stores import PASSED, STORE, in_use, refused


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", b'{"format_version": 1, "current": null, "previous": null}'],
)
def test_a_damaged_state(offer: Callable[..., Path], content: bytes) -> None:
    install(offer(0), STORE)
    (STORE / "store.json").write_bytes(content)
    usb = offer(1)
    for action in (lambda: open_bundle("store"), lambda: install(usb, STORE), lambda: rollback(STORE)):
        assert refused(action) == "store/store.json: damaged; remove it and install a bundle again"
    (STORE / "store.json").unlink()
    install(usb, STORE)
    assert in_use() == "tiny-1"


@pytest.mark.parametrize("number", ["../../usb", 0, -1, 1.0, True, "1"])
def test_a_version_is_a_number_and_no_path(offer: Callable[..., Path], number: object) -> None:
    install(offer(0), STORE)
    document = json.loads((STORE / "store.json").read_text())
    document["current"]["number"] = number
    (STORE / "store.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match=r"^store/store\.json: damaged"):
        open_bundle("store")


def test_a_state_of_another_format(offer: Callable[..., Path]) -> None:
    install(offer(0), STORE)
    (STORE / "store.json").write_text('{"format_version": 2}')
    assert refused(lambda: open_bundle("store")) == (
        "store/store.json: store format 2, this edgesim reads format 1; install the matching edgesim"
    )


def test_a_folder_exchanged_behind_the_state_s_back(
    offer: Callable[..., Path], four_bundles: list[Path]
) -> None:
    install(offer(0), STORE)
    shutil.rmtree(STORE / "versions" / "1")
    shutil.copytree(four_bundles[1], STORE / "versions" / "1")
    assert refused(lambda: open_bundle("store")) == (
        "store/versions/1: not the bundle that was installed; install it again, or: edgesim bundle rollback"
    )


# Several programs.


def test_a_second_update_is_refused_while_one_runs(
    offer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(offer(0), STORE)
    usb = offer(1)
    inside, go_on = threading.Event(), threading.Event()

    def waiting(location: Path) -> SelfTest:
        inside.set()
        assert go_on.wait(60)
        return PASSED

    monkeypatch.setattr(updates, "run_self_test", waiting)
    first = threading.Thread(target=install, args=(usb, STORE))
    first.start()
    assert inside.wait(60)
    try:
        for action in (lambda: install(usb, STORE), lambda: rollback(STORE)):
            with pytest.raises(BundleError) as caught:
                action()
            assert str(caught.value) == "store: another update is running; try again when it has ended"
        assert in_use() == "tiny-0"
    finally:
        go_on.set()
        first.join()
    assert in_use() == "tiny-1"


def test_a_reader_whom_two_updates_overtake(
    offer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(offer(0), STORE)
    really, overtaken = Bundle.load, []

    def load(folder: Path) -> Bundle:
        if not overtaken:
            overtaken.append(folder)
            install(offer(1), STORE)
            install(offer(2), STORE)
        return really(folder)

    monkeypatch.setattr(Bundle, "load", load)
    assert open_current(STORE).spec.name == "tiny-2"
    assert not overtaken[0].exists()


def test_readers_see_whole_bundles_only(four_bundles: list[Path], tested: list[str]) -> None:
    install(four_bundles[0], STORE)
    seen: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(open_current(STORE).spec.name)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        for seed in (1, 2, 3):
            install(four_bundles[seed], STORE)
    done.set()
    for reader in readers:
        reader.join()
    assert {"tiny-1", "tiny-2", "tiny-3"} <= set(seen)


def test_leftovers_of_a_killed_update_go_with_the_next(offer: Callable[..., Path]) -> None:
    install(offer(0), STORE)
    shutil.copytree(STORE / "versions" / "1", STORE / "versions" / "7")
    (STORE / ".store.json.x1y2").write_bytes(b"half")
    install(offer(1), STORE)
    assert sorted(path.name for path in (STORE / "versions").iterdir()) == ["1", "2"]
    assert sorted(path.name for path in STORE.iterdir()) == ["lock", "store.json", "versions"]
