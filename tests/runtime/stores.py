"""What the tests of updates ask of a store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgesim.errors import BundleError
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.self_test import SelfTest
from edgesim.signing_keys import public_key_of

STORE = Path("store")
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FINGERPRINT = public_key_of(PRIVATE).fingerprint
PASSED = SelfTest(engine="onnxruntime", engine_version="1", lowest_cosine=1.0)


def in_use() -> str:
    """Return the name of the encoder that a command would get."""
    return open_bundle(str(STORE)).spec.name


def refused(action: Callable[[], object]) -> str:
    """Return the message of a refusal that leaves the store as it was."""
    before = tree(STORE)
    with pytest.raises(BundleError) as caught:
        action()
    assert tree(STORE) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files and folders below one, with their content; but the lock."""
    paths = (path for path in folder.rglob("*") if path.name != "lock")
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}
