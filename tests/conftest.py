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
