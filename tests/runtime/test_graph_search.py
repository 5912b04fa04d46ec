"""A search through the graph: as good as an exact one; exact where a graph is not needed or cannot be."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import MissingDependencyError
from edgesim.runtime.graph import Graph, hnswlib_installed
from edgesim.runtime.index import Index
from edgesim.runtime.search import Search
from tests.helpers import DIM
from tests.runtime.graph_index import (
    COUNT,
    ENTRIES,
    QUERIES,
    VECTORS,
    K,
    by_path,
    check_answers,
    forbid,
    open_index,
    state,
)
from tests.runtime.index_entries import new_entries


@pytest.mark.parametrize("read_only", [True, False])
def test_a_fresh_graph_answers_as_an_exact_search_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    assert state(folder) == ("hnsw", "fresh")
    forbid(monkeypatch, Search, "_nearest_of_all")
    with open_index(folder, read_only) as index:
        check_answers(index, by_path(VECTORS), recall=0.99)


@pytest.mark.parametrize(
    ("module", "installed"), [(types.ModuleType("hnswlib"), True), (None, False)], ids=["half", "none"]
)
def test_a_module_that_another_thread_is_importing_counts_as_installed(
    monkeypatch: pytest.MonkeyPatch, module: types.ModuleType | None, installed: bool
) -> None:
    """A module has no __spec__ until its import is well under way; None in its place forbids the import."""
    monkeypatch.setitem(sys.modules, "hnswlib", module)
    assert hnswlib_installed() is installed


def test_a_small_index_keeps_no_graph(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*ENTRIES, "graph.hnsw", "graph.json"}
    with Index.open(folder, exact_limit=COUNT) as index:
        assert (index.stats()["search"], index.stats()["graph"]) == ("exact", "not needed")
        assert index.rebuild_graph() is False
    assert {path.name for path in folder.iterdir()} == ENTRIES


def test_more_matches_than_the_graph_reaches_come_from_an_exact_search(folder: Path) -> None:
    with open_index(folder) as index:
        assert len({match.path for match in index.search(QUERIES[0], COUNT + 1)}) == COUNT


def test_many_equal_pictures_do_not_break_the_graph(folder: Path) -> None:
    with open_index(folder) as index:
        index.add(new_entries(np.repeat(QUERIES[:1], 300, axis=0), COUNT))
        index.refresh_graph()
        assert index.stats()["graph"] == "fresh"
        assert [match.similarity for match in index.search(QUERIES[0], K)] == pytest.approx([1.0] * K)


def test_without_hnswlib_the_search_is_exact_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in ("index", "index_stats", "search"):
        monkeypatch.setattr(f"edgesim.runtime.{module}.hnswlib_installed", lambda: False)
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    assert state(folder) == ("exact", "no hnswlib")
    with open_index(folder) as index:
        check_answers(index, by_path(VECTORS), recall=1.0)
        assert caplog.messages == [
            f"{folder}: hnswlib is not installed, so {COUNT} entries are searched exactly; "
            "for speed run: pip install 'edgesim[hnsw]'"
        ]
        index.add(new_entries(QUERIES[:1], COUNT))
        index.refresh_graph()
        with pytest.raises(MissingDependencyError) as caught:
            index.rebuild_graph()
    assert str(caught.value) == (
        "a search graph needs the package hnswlib, which is not installed. Run: pip install 'edgesim[hnsw]'"
    )


def test_a_small_index_never_asks_for_hnswlib(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    with Index.create(tmp_path / "index", tiny_bundle, exact_limit=K) as index:
        index.add(new_entries(VECTORS[:K]))
        index.refresh_graph()
        check_answers(index, by_path(VECTORS[:K]), recall=1.0)
    assert caplog.messages == []


def test_graph_similarities_are_cosines() -> None:
    graph = Graph.build(np.array([5, 9]), np.eye(2, DIM, dtype=np.float32))
    query = np.zeros(DIM, dtype=np.float32)
    query[:2] = 0.6, 0.8
    ids, similarities = graph.search(query, 2) or ([], [])
    assert list(ids) == [9, 5]
    np.testing.assert_allclose(similarities, [0.8, 0.6], atol=1e-6)
