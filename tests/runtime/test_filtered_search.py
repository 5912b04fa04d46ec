"""Searching among the entries that a filter selects: as exact as the search of all, without reading all."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import DamagedIndexError, EdgesimError
from edgesim.runtime.graph import Graph
from edgesim.runtime.graph_cache import GraphCache
from edgesim.runtime.index import Index
from edgesim.runtime.store import EntryStore
from tests.runtime.index_entries import new_entries, new_entry, unit_vectors

LIMIT, COUNT, K = 100, 1000, 10
VECTORS = unit_vectors(COUNT)
QUERIES = unit_vectors(30, seed=1)
# By the entry's number: 500 of each half, 20 of each fiftieth, and those nearest to or farthest from a query.
BY_DISTANCE = np.argsort(-(VECTORS @ QUERIES[0]))
FAR = set(BY_DISTANCE[COUNT // 2 :].tolist())


def labels_of(number: int) -> dict[str, str]:
    return {"half": str(number % 2), "part": str(number % 50), "far": "yes" if number in FAR else "no"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Path:
    folder = tmp_path_factory.mktemp("filtered") / "index"
    with Index.create(folder, tiny_bundle, exact_limit=LIMIT) as index:
        index.add(
            [
                new_entry(f"/photos/{number:05d}.png", vector, labels=labels_of(number))
                for number, vector in enumerate(VECTORS)
            ]
        )
        index.refresh_graph()
    return folder


@pytest.fixture
def index(original: Path) -> Iterator[Index]:
    with Index.open(original, read_only=True, exact_limit=LIMIT) as index:
        yield index


def forbid(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(owner, name, fail)


def recall(index: Index, where: str, numbers: list[int], k: int = K) -> float:
    """Compare every answer with all cosines; return the share of the best that was found."""
    hits = 0
    for query in QUERIES:
        cosines = {f"/photos/{n:05d}.png": float(VECTORS[n] @ query) for n in numbers}
        best = sorted(cosines, key=lambda path: -cosines[path])[:k]
        matches = index.search(query, k, where)
        assert len(matches) == len(best)
        assert [match.similarity for match in matches] == pytest.approx(
            [cosines[match.path] for match in matches], abs=1e-6
        )
        hits += len({match.path for match in matches} & set(best))
    return hits / max(1, len(QUERIES) * min(k, len(numbers)))


def test_few_are_searched_exactly_and_nothing_else_is_read(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, EntryStore, "vectors")
    forbid(monkeypatch, GraphCache, "load")
    numbers = [n for n in range(COUNT) if n % 50 == 7]
    assert recall(index, "part = 7", numbers) == 1.0
    assert recall(index, "part=7", numbers, k=21) == 1.0


def test_many_come_from_the_graph(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, EntryStore, "vectors_where")
    # hnswlib inserts with several threads, so that no two graphs are alike: 0.987 has been seen.
    assert recall(index, "half=1", list(range(1, COUNT, 2))) >= 0.95


def test_what_is_newer_than_the_graph_is_selected_too(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "index"))
    with Index.open(folder, exact_limit=LIMIT) as index:
        index.add(
            [
                new_entry(f"/new/{number}.png", QUERIES[number], labels={"half": str(number % 2)})
                for number in range(4)
            ]
        )
        index.remove(["/photos/00001.png"])
        forbid(monkeypatch, EntryStore, "vectors_where")
        for number in range(4):
            for half in ("0", "1"):
                matches = index.search(QUERIES[number], K, f"half={half}")
                assert (matches[0].path == f"/new/{number}.png") == (half == str(number % 2))
                assert {match.labels["half"] for match in matches} == {half}
                assert len({match.path for match in matches} - {"/photos/00001.png"}) == K


def test_where_the_graph_leads_elsewhere_the_search_is_exact(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The 64 nearest that a graph gives are all on the other side.
    searched = []
    search = Graph.search

    def noted(graph: Graph, vector: np.ndarray, k: int) -> object:
        searched.append(k)
        return search(graph, vector, k)

    monkeypatch.setattr(Graph, "search", noted)
    matches = index.search(QUERIES[0], K, "far=yes")
    assert searched == [64]
    assert [match.path for match in matches] == [
        f"/photos/{n:05d}.png" for n in BY_DISTANCE[COUNT // 2 :][:K]
    ]
    assert recall(index, "far=yes", sorted(FAR)) >= 0.95


def test_more_than_there_are(index: Index) -> None:
    assert len(index.search(QUERIES[0], 501, "half=0")) == 500
    assert index.search(QUERIES[0], K, "part=50") == []


def test_without_a_graph(
    original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "index"))
    (folder / "graph.json").unlink()
    with Index.open(folder, read_only=True, exact_limit=LIMIT) as index:
        assert recall(index, "part=7", [n for n in range(COUNT) if n % 50 == 7]) == 1.0
        assert caplog.messages == []
        # Those that are loaded once are not loaded twice.
        forbid(monkeypatch, EntryStore, "vectors_where")
        assert recall(index, "half=1", list(range(1, COUNT, 2))) == 1.0
        assert "searched exactly" in caplog.text


def test_what_others_commit_is_seen(original: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "index"))
    with (
        Index.open(folder, read_only=True, exact_limit=LIMIT) as reader,
        Index.open(folder, exact_limit=LIMIT) as writer,
    ):
        query = VECTORS[7]
        assert reader.search(query, 1, "part=7")[0].path == "/photos/00007.png"
        # No vector changes, only a label.
        writer.add([new_entry("/photos/00007.png", None, labels={"part": "8"})])
        assert reader.search(query, 1, "part=7")[0].path != "/photos/00007.png"
        assert reader.search(query, 1, "part=8")[0].path == "/photos/00007.png"
        writer.remove(["/photos/00007.png"])
        assert reader.search(query, 1, "part=8")[0].path != "/photos/00007.png"


def test_a_damaged_label_hides_no_entry(tmp_path: Path, tiny_bundle: Bundle) -> None:
    folder = tmp_path / "index"
    with Index.create(folder, tiny_bundle) as index:
        index.add([new_entry(entry.path, entry.vector, labels={"verdict": "ng"}) for entry in
                   new_entries(VECTORS[:12])])  # fmt: skip
        expected = [match.path for match in index.search(QUERIES[0], 12, "verdict=ng")]
    content = (folder / "entries.sqlite3").read_bytes()
    chance, told = random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        (folder / "entries.sqlite3").write_bytes(damaged)
        try:
            with Index.open(folder, read_only=True) as index:
                assert [match.path for match in index.search(QUERIES[0], 12, "verdict=ng")] == expected
        except EdgesimError:
            told += 1
    assert told > 100
    place = content.index(b"verdictng")
    (folder / "entries.sqlite3").write_bytes(content[: place + 7] + b"ok" + content[place + 9 :])
    with (
        Index.open(folder, read_only=True) as index,
        pytest.raises(DamagedIndexError, match=r"\(entry \d+\)"),
    ):
        index.search(QUERIES[0], 1, "verdict=ok")
