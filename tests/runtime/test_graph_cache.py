"""The search graph: as good as an exact search, never trusted, brought up to date, lost without harm."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import MissingDependencyError, StorageError
from edgesim.runtime import graph, graph_cache
from edgesim.runtime.graph import Graph
from edgesim.runtime.index import Index
from tests.helpers import DIM
from tests.runtime.index_entries import new_entries, unit_vectors

LIMIT, COUNT = 100, 1500
VECTORS = unit_vectors(COUNT)
QUERIES = unit_vectors(100, seed=1)


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A closed index with a fresh graph."""
    with Index.create(tmp_path / "index", tiny_bundle, exact_limit=LIMIT) as index:
        index.add(new_entries(VECTORS))
        index.refresh_graph()
    return tmp_path / "index"


@pytest.fixture
def without_hnswlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgesim.runtime.index.hnswlib_installed", lambda: False)
    monkeypatch.setitem(__import__("sys").modules, "hnswlib", None)


def open_index(folder: Path, read_only: bool = False) -> Index:
    return Index.open(folder, read_only=read_only, exact_limit=LIMIT)


def state(folder: Path) -> tuple[str, str]:
    with open_index(folder, read_only=True) as index:
        stats = index.stats()
    return stats["search"], stats["graph"]


def answers(folder: Path, exactly: bool = False) -> list[list[tuple[str, float]]]:
    limit = 10**9 if exactly else LIMIT
    with Index.open(folder, read_only=True, exact_limit=limit) as index:
        if exactly:
            index._cache._facts = None  # any use of the graph would fail
            index._load_graph = None
        return [[(match.path, match.similarity) for match in index.search(query, 10)] for query in QUERIES]
