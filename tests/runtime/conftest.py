"""Bundles to install and a self-test that passes, for the tests of updates; an index; a folder in memory."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgesim.bundle import Bundle
from edgesim.runtime import updates
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.index import Index
from edgesim.runtime.self_test import SelfTest
from edgesim.signing import sign_bundle
from tests.helpers import write_tiny_bundle
from tests.runtime.graph_index import LIMIT, VECTORS
from tests.runtime.index_entries import new_entries
from tests.runtime.stores import PASSED, PRIVATE


@pytest.fixture
def tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The working directory is empty, every self-test passes; returns what has been tested."""
    monkeypatch.chdir(tmp_path)
    calls: list[str] = []

    def passing(location: Path) -> SelfTest:
        calls.append(f"{location} {open_bundle(str(location)).spec.name}")
        return PASSED

    monkeypatch.setattr(updates, "run_self_test", passing)
    return calls


@pytest.fixture(scope="session")
def four_bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of four bundles, each of another encoder: `tiny-0` to `tiny-3`."""
    folder = tmp_path_factory.mktemp("four")
    return [write_tiny_bundle(folder / str(seed), seed).folder for seed in range(4)]


@pytest.fixture
def offer(four_bundles: list[Path], tested: list[str]) -> Callable[..., Path]:
    """Return a function that puts one of the bundles at `usb`, signed if a release is given."""

    def offered(seed: int, release: int | None = None, key: Ed25519PrivateKey = PRIVATE) -> Path:
        shutil.rmtree("usb", ignore_errors=True)
        shutil.copytree(four_bundles[seed], "usb")
        if release is not None:
            sign_bundle(Path("usb"), key, release)
        return Path("usb")

    return offered


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one, for what synchronises thousands of times."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="edgesim-", dir=shared if os.access(shared, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def graph_index(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Path:
    """A closed index with a fresh graph, see `tests.runtime.graph_index`."""
    folder = tmp_path_factory.mktemp("graph") / "index"
    with Index.create(folder, tiny_bundle, exact_limit=LIMIT) as index:
        index.add(new_entries(VECTORS))
        index.refresh_graph()
    return folder


@pytest.fixture
def folder(tmp_path: Path, graph_index: Path) -> Path:
    """The folder of an index to change or damage: a copy of `graph_index`."""
    return Path(shutil.copytree(graph_index, tmp_path / "index"))
