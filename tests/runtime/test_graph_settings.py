"""The graph's parameters for a recall: reached, by an exact search of our own; kept; refused if damaged."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import DamagedIndexError, UsageError
from edgesim.runtime.graph import Graph, HnswParameters, graph_bytes
from edgesim.runtime.graph_settings import choose_graph
from edgesim.runtime.index import Index
from tests.helpers import run_python
from tests.runtime.index_entries import new_entries, unit_vectors

COUNT, K = 3000, 10


def scattered(count: int, seed: int) -> np.ndarray:
    """Vectors in all directions of 48, which graphs find hard."""
    vectors = np.random.default_rng(seed).standard_normal((count, 48))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


IDS, VECTORS = np.arange(1, COUNT + 1), scattered(COUNT, 0)


def recall_of(graph: Graph, k: int) -> float:
    """For queries that have nothing to do with those that the parameters were chosen by."""
    noise = scattered(300, 2)
    # From all parts: a poor graph finds what was inserted first more easily.
    queries = 0.8 * VECTORS[::10] + 0.6 * noise
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    hits = 0
    for query in queries:
        cosines = VECTORS @ query
        best = set(IDS[np.argsort(-cosines)[:k]].tolist())
        found = graph.search(query, k)
        assert found is not None
        hits += len(best & set(found[0].tolist()))
    return hits / (300 * k)


def test_the_recall_asked_for_is_reached_and_not_much_more_is_paid_for() -> None:
    chosen = {}
    for recall in (0.6, 0.9, 0.99):
        graph, settings = choose_graph(IDS, VECTORS, recall, K)
        assert settings.measured >= recall
        assert recall_of(graph, K) == pytest.approx(settings.measured, abs=0.02)
        assert (settings.recall, settings.k, settings.entries, settings.queries) == (recall, K, COUNT, 500)
        chosen[recall] = settings.parameters
    assert chosen[0.6].ef_search < chosen[0.9].ef_search < chosen[0.99].ef_search
    assert chosen[0.6].m == 16


def test_a_recall_that_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgesim.runtime.graph_settings._BUILDS", ((4, 8), (5, 8)))
    monkeypatch.setattr("edgesim.runtime.graph_settings._EF_SEARCH", (10, 11))
    graph, settings = choose_graph(IDS, VECTORS, 0.99, K)
    assert settings.parameters == HnswParameters(5, 8, 11)
    assert settings.measured < 0.9
    assert caplog.messages == [
        f"the recall 0.99 is out of reach: the largest graph that is tried has {settings.measured:.4f}"
    ]
    assert recall_of(graph, K) == pytest.approx(settings.measured, abs=0.06)


def memory_of(m: int) -> int:
    """By hnswlib's source: of 3,000 vectors of 48 numbers the vectors, two kinds of links, and the rest."""
    links = 3000 * (4 * (2 * m + 1) + 4 * (m + 1) / (m - 1))
    return int(3000 * (48 * 4 + 102) + links) + 65536 * 40


def test_a_graph_takes_as_much_memory_as_is_said() -> None:
    script = """
import sys
import hnswlib, numpy
def resident():
    return 4096 * int(open("/proc/self/statm").read().split()[1])
graph = hnswlib.Index("ip", 48)
before = resident()
graph.load_index(sys.argv[1])
print(resident() - before)
"""
    with tempfile.NamedTemporaryFile() as file:
        count = 8_000
        graph = Graph.build(np.arange(count), scattered(count, 3), HnswParameters(16, 10))
        graph.save(file.name)
        measured = int(run_python("-c", script, file.name).stdout)
    assert graph_bytes(count, 48, 16) == pytest.approx(measured, rel=0.03)


def test_memory_decides_which_graphs_are_tried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    built = []
    build = Graph.build
    monkeypatch.setattr(Graph, "build", lambda *a: built.append(a[2].m) or build(*a))
    for name, value in {
        "_BUILDS": ((16, 8), (32, 8), (48, 8)),
        "_SMALLEST": (8, 8),
        "_EF_SEARCH": (10,),
    }.items():
        monkeypatch.setattr(f"edgesim.runtime.graph_settings.{name}", value)
    for limit, tried in ((48, [16, 32, 48]), (47, [16, 32]), (31, [16]), (15, [8])):
        memory = memory_of(limit)
        settings = choose_graph(IDS, VECTORS, 0.9999, K, memory)[1]
        assert (built, settings.parameters.m) == (tried, tried[-1])
        assert (settings.memory, settings.memory_limit) == (memory_of(tried[-1]), memory)
        reason = "the largest that is tried" if limit == 48 else "the largest that memory allows"
        assert settings.reason == reason
        within = "" if limit == 48 else f" within {memory / 2**20:.0f} MiB of memory"
        assert caplog.messages[-1] == (
            f"the recall 0.9999 is out of reach{within}: the largest graph that is tried has "
            f"{settings.measured:.4f}"
        )
        built.clear()
    assert choose_graph(IDS, VECTORS, 0.3, K, memory_of(48))[1].reason == "the smallest that finds so much"
    with pytest.raises(UsageError) as caught:
        choose_graph(IDS, VECTORS, 0.9, K, memory_of(8) - 1)
    assert str(caught.value) == (
        "the smallest search graph of 3000 vectors of 48 numbers takes 4 MiB of memory, 4 are allowed; allow "
        "more, or remove entries"
    )


@pytest.mark.parametrize(
    ("recall", "k", "message"),
    [
        (1.0, 10, "the recall must lie above 0 and below 1, got 1.0; only an exact search has 1"),
        (0.0, 10, "the recall must lie above 0 and below 1, got 0.0; only an exact search has 1"),
        (float("nan"), 10, "the recall must lie above 0 and below 1, got nan; only an exact search has 1"),
        (0.9, 0, "k must be 1 to 3000, the number of entries, got 0"),
        (0.9, 3001, "k must be 1 to 3000, the number of entries, got 3001"),
    ],
)
def test_what_cannot_be_asked_for(recall: float, k: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_graph(IDS, VECTORS, recall, k)
    assert str(caught.value) == message


def test_an_index_keeps_them_and_uses_them(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesim.runtime.graph_settings._BUILDS", ((9, 77),))
    monkeypatch.setattr("edgesim.runtime.graph_settings._EF_SEARCH", (33,))
    folder = tmp_path / "index"
    with Index.create(folder, tiny_bundle, exact_limit=100) as index:
        index.add(new_entries(unit_vectors(300)))
        assert index.stats()["graph_settings"] is None
        assert index.rebuild_graph(recall=0.5, k=5, memory=10**9) is True
        assert index.stats()["graph"] == "fresh"
    used = []
    search = Graph.search
    monkeypatch.setattr(Graph, "search", lambda graph, *a: used.append(graph.parameters) or search(graph, *a))
    build = Graph.build
    monkeypatch.setattr(Graph, "build", lambda *a: used.append(a[2]) or build(*a))
    with Index.open(folder, exact_limit=100) as index:
        settings = index.graph_settings()
        assert settings is not None
        assert settings.parameters == HnswParameters(9, 77, 33)
        assert index.stats()["graph_settings"] == {
            "m": 9,
            "ef_construction": 77,
            "ef_search": 33,
            "recall": 0.5,
            "k": 5,
            "measured": settings.measured,
            "entries": 300,
            "queries": 300,
            "memory": settings.memory,
            "memory_limit": 10**9,
        }
        index.search(unit_vectors(1)[0], 5)
        index.rebuild_graph()
        index.search(unit_vectors(1)[0], 5)
    assert used == [HnswParameters(9, 77, 33)] * 3


def test_settings_that_are_none(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with Index.create(tmp_path / "index", tiny_bundle) as index:
        index.set_setting("graph", {"m": 1})
        with pytest.raises(DamagedIndexError, match=r"setting graph: 'ef_construction'"):
            index.stats()
