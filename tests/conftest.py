"""Fixtures that several rooms share."""

import pytest

from edgesim.bundle import Bundle
from tests.helpers import write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A real bundle with a small float ONNX model; see `tests.helpers.TinyEncoder`."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with another encoder than `tiny_bundle`."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "other", seed=1)


@pytest.fixture
def builtin_bundles(tiny_bundle: Bundle, other_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tiny_bundle` in the place of the built-in encoder `copy`, and `other_bundle` in that of `similar`."""
    folders = {"copy": tiny_bundle.folder, "similar": other_bundle.folder}
    for module in ("embedder", "facts"):
        monkeypatch.setattr(f"edgesim.runtime.{module}.bundle_folder", folders.__getitem__)
