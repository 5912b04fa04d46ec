"""Installing a bundle into a store, and going back to the one before.

Every step before the switch touches only what is not in use, and the switch is the replacement of one small
file: a power cut at any instant leaves the old bundle in use, or the new one, whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, EdgesimError
from edgesim.files import sync_folder
from edgesim.runtime.bundle_store import (
    STATE,
    StoreState,
    Version,
    load_version,
    read_state,
    version_folder,
    write_state,
)
from edgesim.runtime.self_test import SelfTest, run_self_test
from edgesim.runtime.staging import copy_bundle, locked, prepare_store, remove_leftovers
from edgesim.signing import check_signature
from edgesim.signing_keys import PublicKey
from edgesim.trust import required_keys


@dataclasses.dataclass(frozen=True, kw_only=True)
class Update:
    """What an installation or a rollback has done.

    Attributes:
        current: the bundle that is in use now.
        before: the one that was in use, None after the first installation.
        self_test: the last one, None if the bundle was in use already and nothing was done.
    """

    current: Version
    before: Version | None
    self_test: SelfTest | None

    @property
    def encoder_changed(self) -> bool:
        """Whether indexes of the bundle that was in use must be made again."""
        return self.before is not None and self.before.encoder_id != self.current.encoder_id


def install(source: Path, store: Path, *, allow_downgrade: bool = False) -> Update:
    """Copy a bundle into a store, prove it there, and switch to it.

    The copy's bytes and signature are checked, and its golden embeddings are recomputed in a process of its
    own, before the switch and through the store after it. On any failure the bundle in use stays in use, or
    the message says which one a failing disk has left there.

    Args:
        source: the folder of a bundle, on a memory stick for instance.
        store: the folder of the store; made if it does not exist.
        allow_downgrade: accept an older release, or an unsigned bundle in place of a signed one.

    Raises:
        BundleError: the bundle is damaged, not signed as this device requires, older than the one in use, or
            fails its self-test; or the folder holds something else, or another update is running.
        StorageError: the disk is full, read-only or failing.
        UsageError, MissingDependencyError: see `edgesim.trust.required_keys` and `run_self_test`.
    """
    keys = required_keys()
    offered = Bundle.load(source)
    prepare_store(store)
    with locked(store):
        old = read_state(store)
        remove_leftovers(store, old)
        with _keeping(store, old):
            new = _version(offered, _next_number(old), keys)
            if old is not None:
                _check_order(source, new, old.current, allow_downgrade)
                if _same(new, old.current) and _is_sound(store, old.current):
                    return Update(current=old.current, before=old.current, self_test=None)
            folder = version_folder(store, new.number)
            copy_bundle(offered, folder)
            # What a stick gives at the second reading need not be what it gave at the first.
            if _version(Bundle.load(folder), new.number, keys) != new:
                raise BundleError(f"{source}: changed while it was copied; try again")
            run_self_test(folder)
            return _switch(store, old, new)


def rollback(store: Path) -> Update:
    """Switch a store back to the bundle before, after proving that one as `install` does.

    The two change places: a second rollback undoes the first.

    Raises:
        BundleError: there is no bundle before, or it is refused or damaged; the one in use stays in use.
        StorageError, UsageError, MissingDependencyError: see `install`.
    """
    if read_state(store) is None:
        raise BundleError(f"{store}: nothing is installed there")
    with locked(store):
        old = read_state(store)
        if old is None or old.previous is None:
            raise BundleError(f"{store}: holds no bundle from before; install one")
        with _keeping(store, old):
            load_version(store, old.previous)
            run_self_test(version_folder(store, old.previous.number))
            return _switch(store, old, old.previous)


def _switch(store: Path, old: StoreState | None, new: Version) -> Update:
    """Make a version that was proven the current one, and prove it again where programs will find it."""
    previous = None
    if old is not None:
        # A damaged bundle is not worth going back to.
        previous = old.current if _is_sound(store, old.current) else old.previous
    if previous == new:
        previous = None
    state = StoreState(current=new, previous=previous)
    try:
        # May fail behind the switch: a disk that does not make it durable.
        write_state(store, state)
        self_test = run_self_test(store)
    except BaseException:
        if old is None:
            (store / STATE).unlink(missing_ok=True)
            sync_folder(store)
        else:
            write_state(store, old)
        raise
    remove_leftovers(store, state)
    return Update(current=new, before=None if old is None else old.current, self_test=self_test)


@contextlib.contextmanager
def _keeping(store: Path, old: StoreState | None) -> Iterator[None]:
    """Remove what a failed update leaves, and say in its message what is in use."""
    try:
        yield
    except BaseException as error:
        # Read again: going back may have failed too.
        state = read_state(store)
        remove_leftovers(store, state)
        if not isinstance(error, EdgesimError):
            raise
        holds = "now holds" if state != old else "still holds"
        kept = "nothing was installed" if state is None else f"{store} {holds} {state.current.title}"
        raise type(error)(f"{error}; {kept}") from error


def _next_number(old: StoreState | None) -> int:
    if old is None:
        return 1
    return 1 + max(old.current.number, 0 if old.previous is None else old.previous.number)


def _version(bundle: Bundle, number: int, keys: list[PublicKey] | None) -> Version:
    signature = check_signature(bundle, keys)
    return Version(
        number=number,
        encoder_id=bundle.encoder_id,
        encoder_name=bundle.spec.name,
        manifest_sha256=bundle.manifest_sha256,
        release=None if signature is None else signature.release,
        key=None if signature is None else signature.key.fingerprint,
    )


def _same(one: Version, other: Version) -> bool:
    return dataclasses.replace(one, number=other.number) == other


def _is_sound(store: Path, version: Version) -> bool:
    try:
        load_version(store, version)
    except BundleError:
        return False
    return True


def _check_order(source: Path, new: Version, current: Version, allow_downgrade: bool) -> None:
    """Refuse what is older than the version in use, unless that is wanted."""
    if current.release is None:
        return
    cure = "pass --allow-downgrade if that is wanted"
    if new.release is None:
        if not allow_downgrade:
            raise BundleError(f"{source}: not signed, and the bundle in use is; {cure}")
    elif new.release < current.release:
        if not allow_downgrade:
            raise BundleError(f"{source}: release {new.release}, older than the one in use; {cure}")
    elif new.release == current.release and new.manifest_sha256 != current.manifest_sha256:
        raise BundleError(
            f"{source}: release {new.release} as the one in use, but with other content; sign it with a "
            "higher --release"
        )
