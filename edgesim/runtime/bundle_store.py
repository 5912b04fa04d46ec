"""A store: the bundle that a device uses and the one before it, behind one small file.

    STORE/store.json    which bundle is current and which is previous; replaced in one step
    STORE/versions/N/   bundles, numbered as they came
    STORE/lock          held by the update that runs (edgesim.runtime.staging)

The file, not links: the file systems of memory sticks have none, and one file switches both names at once.
What it does not name in `versions` is the rest of an update that failed, and goes with the next one.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from edgesim.bundle import Bundle
from edgesim.errors import BundleError
from edgesim.files import write_atomic

FORMAT_VERSION = 1
STATE = "store.json"
VERSIONS = "versions"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """One bundle in a store.

    Attributes:
        number: names its folder.
        encoder_id, encoder_name: of the bundle's encoder.
        manifest_sha256: see `Bundle`.
        release: the signer's number, None if it is not signed.
        key: fingerprint of the key that signed it, None if it is not signed.
    """

    number: int
    encoder_id: str
    encoder_name: str
    manifest_sha256: str
    release: int | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        # It becomes part of a path.
        if type(self.number) is not int or self.number < 1:
            raise ValueError(f"version {self.number!r}")

    @property
    def encoder_title(self) -> str:
        """The encoder's name and identity, as messages print them."""
        return f"{self.encoder_name} ({self.encoder_id})"

    @property
    def title(self) -> str:
        """The encoder and the release, as messages print them."""
        return f"{self.encoder_title}, {'not signed' if self.release is None else f'release {self.release}'}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreState:
    """Which bundle of a store is in use, and which was before it."""

    current: Version
    previous: Version | None = None


def is_store(folder: Path) -> bool:
    """Return whether a folder is a store."""
    return (folder / STATE).exists()


def version_folder(store: Path, number: int) -> Path:
    """Return the folder of one version."""
    return store / VERSIONS / str(number)


def read_state(store: Path) -> StoreState | None:
    """Return what is in use in a store, None where nothing was installed yet.

    Raises:
        BundleError: `store.json` is damaged or of another format.
    """
    path = store / STATE
    try:
        document = json.loads(path.read_bytes())
        version = document["format_version"]
        if version == FORMAT_VERSION:
            current, previous = document["current"], document["previous"]
            return StoreState(
                current=Version(**current), previous=None if previous is None else Version(**previous)
            )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: damaged; remove it and install a bundle again") from error
    raise BundleError(
        f"{path}: store format {version}, this edgesim reads format {FORMAT_VERSION}; "
        "install the matching edgesim"
    )


def write_state(store: Path, state: StoreState) -> None:
    """Switch: until this returns the old state counts, afterwards the new one, also after a power cut."""
    document = {"format_version": FORMAT_VERSION, **dataclasses.asdict(state)}
    write_atomic(store / STATE, (json.dumps(document, indent=2) + "\n").encode())


def open_current(store: Path) -> Bundle:
    """Load the bundle in use. Raises `BundleError`: see `Bundle.load` and `read_state`."""
    state = read_state(store)
    if state is None:
        raise BundleError(
            f"{store}: nothing is installed there; run: edgesim bundle install BUNDLE --into {store}"
        )
    try:
        return load_version(store, state.current)
    except BundleError:
        # Two updates since the state was read have removed that bundle.
        if read_state(store) == state:
            raise
        return open_current(store)


def load_version(store: Path, version: Version) -> Bundle:
    """Load one bundle of a store. Raises `BundleError` if it is damaged or not what was installed."""
    folder = version_folder(store, version.number)
    bundle = dataclasses.replace(Bundle.load(folder), location=store)
    if bundle.manifest_sha256 != version.manifest_sha256:
        raise BundleError(
            f"{folder}: not the bundle that was installed; install it again, or: edgesim bundle rollback"
        )
    return bundle
