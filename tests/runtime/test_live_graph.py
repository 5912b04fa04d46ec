"""A search graph that lies behind: what came is found, what went is not, and no other index's is taken."""

import shutil
from pathlib import Path

import pytest

from edgesim.runtime.graph import Graph
from edgesim.runtime.search import Search
from edgesim.runtime.verify import verify_index
from tests.runtime.graph_index import (
    COUNT,
    LIMIT,
    QUERIES,
    VECTORS,
    K,
    by_path,
    check_answers,
    forbid,
    graph_of,
    open_index,
)
from tests.runtime.index_entries import new_entries, unit_vectors


def test_a_graph_that_is_behind_finds_what_came_and_not_what_went(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forbid(monkeypatch, Search, "_nearest_of_all")
    more = unit_vectors(50, seed=2)
    now = by_path(VECTORS) | by_path(more, COUNT)
    removed = sorted(now)[:100:2]
    with open_index(folder) as index:
        check_answers(index, by_path(VECTORS), recall=0.99)
        index.add(new_entries(more, COUNT))
        index.remove(removed)
        for path in removed:
            del now[path]
        assert graph_of(index) == ("behind", 50)
        check_answers(index, now, recall=0.99)
        # One of those that are in the graph, and one that is newer.
        for path in ("/photos/00300.png", "/photos/00620.png"):
            del now[path]
            index.remove([path])
        check_answers(index, now, recall=0.99)
        assert caplog.messages == []
    # The same, but read from the files.
    with open_index(folder, read_only=True) as index:
        assert graph_of(index) == ("behind", 49)
        check_answers(index, now, recall=0.99)
    assert (verify_index(folder).graph, verify_index(folder).damage) == ("behind", [])
    with open_index(folder) as index:
        # Updated, not built anew.
        forbid(monkeypatch, Graph, "build")
        index.refresh_graph()
        assert graph_of(index) == ("fresh", 0)
        check_answers(index, now, recall=0.99)
    # Once more, on a graph that has marks already.
    with open_index(folder) as index:
        index.remove(["/photos/00001.png"])
        del now["/photos/00001.png"]
        assert graph_of(index) == ("behind", 0)
        check_answers(index, now, recall=0.99)
        index.refresh_graph(completely=True)
        assert graph_of(index) == ("fresh", 0)
        check_answers(index, now, recall=0.99)


def test_a_tenth_may_come_and_go_before_the_graph_is_written(folder: Path) -> None:
    before = (folder / "graph.hnsw").read_bytes()
    with open_index(folder) as index:
        index.add(new_entries(unit_vectors(40, seed=2), COUNT))
        index.remove([f"/photos/{number:05d}.png" for number in range(21)])
        # 61 of the 619 that there are now.
        for allowed in (True, False):
            index.refresh_graph()
            assert graph_of(index) == (("behind", 40) if allowed else ("fresh", 0))
            assert ((folder / "graph.hnsw").read_bytes() == before) == allowed
            index.remove([f"/photos/{21 + allowed:05d}.png"])


def test_no_more_than_may_be_searched_exactly_may_be_newer(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = unit_vectors(LIMIT + 1, seed=2)
    now = by_path(VECTORS) | by_path(more, COUNT)
    with open_index(folder, read_only=True) as reader, open_index(folder) as writer:
        reader.search(QUERIES[0], K)
        writer.add(new_entries(more[:LIMIT], COUNT))
        assert len(reader.search(QUERIES[0], K)) == K
        assert caplog.messages == []
        assert graph_of(reader) == ("behind", LIMIT)
        writer.add(new_entries(more[LIMIT:], COUNT + LIMIT))
        assert graph_of(reader) == ("stale", 0)
        check_answers(reader, now, recall=1.0)
        assert len(caplog.messages) == 1
        writer.refresh_graph()
        writer.add(new_entries(QUERIES[:1], 2 * COUNT))
        check_answers(reader, now | by_path(QUERIES[:1], 2 * COUNT), recall=0.99)
        assert graph_of(reader) == ("behind", 1)


def test_a_reader_follows_the_commits_and_reads_the_graph_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, loads, load = by_path(VECTORS), [], Graph.load
    monkeypatch.setattr(Graph, "load", lambda *arguments: loads.append(1) or load(*arguments))
    forbid(monkeypatch, Search, "_nearest_of_all")
    with open_index(folder, read_only=True) as reader, open_index(folder) as writer:
        for number, vector in enumerate(QUERIES[:8], COUNT):
            writer.add(new_entries(vector[None], number))
            now |= by_path(vector[None], number)
            if number % 2:
                writer.remove([f"/photos/{number // 2:05d}.png"])
                del now[f"/photos/{number // 2:05d}.png"]
            check_answers(reader, now, recall=0.99)
            match = reader.search(vector, 1)[0]
            assert (match.path, match.similarity) == (f"/photos/{number:05d}.png", pytest.approx(1.0))
    assert len(loads) == 1


def test_a_graph_of_a_copy_that_went_its_own_way_is_not_searched(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    with open_index(copy) as index:
        index.add(new_entries(QUERIES[:20], COUNT))
        index.refresh_graph(completely=True)
    more = unit_vectors(22, seed=3)
    with open_index(folder) as index:
        index.add(new_entries(more[:21], COUNT))
        index.add(new_entries(more[21:], COUNT + 21))
        # Commits and ids fit, and so may the sums; but of the copy's last 20 entries none is here.
        index.remove([f"/photos/{number:05d}.png" for number in range(COUNT - 30, COUNT)])
    for name in ("graph.hnsw", "graph.json"):
        shutil.copyfile(copy / name, folder / name)
    now = by_path(VECTORS[: COUNT - 30]) | by_path(more, COUNT)
    forbid(monkeypatch, Graph, "search")
    with open_index(folder, read_only=True) as index:
        assert index._cache.lag(index._store) is not None
        assert graph_of(index) == ("stale", 0)
        check_answers(index, now, recall=1.0)


def test_a_damaged_vector_that_a_graph_lacks_does_not_end_verification(folder: Path) -> None:
    with open_index(folder) as index:
        index.add(new_entries(QUERIES[:1], COUNT))
        index.set_setting("calibration", [])
    content = bytearray((folder / "entries.sqlite3").read_bytes())
    content[content.index(QUERIES[0].tobytes()[-4:]) + 3] ^= 0x40  # of the exponent
    (folder / "entries.sqlite3").write_bytes(content)
    damage = verify_index(folder).damage
    assert "entries.sqlite3: a vector is not of length 1" in damage
    assert damage[-1].startswith("its calibration is damaged (")
