"""The search graph: as good as an exact search, never trusted, brought up to date, lost without harm."""

import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import MissingDependencyError, StorageError
from edgesim.runtime import graph_facts
from edgesim.runtime.graph import Graph, HnswParameters
from edgesim.runtime.graph_cache import GraphCache
from edgesim.runtime.index import Index
from edgesim.runtime.search import Search
from edgesim.runtime.verify import verify_index
from tests.helpers import DIM, run_python
from tests.runtime.index_entries import new_entries, unit_vectors

LIMIT, COUNT, K = 100, 600, 10
VECTORS = unit_vectors(COUNT)
QUERIES = unit_vectors(40, seed=1)
ENTRIES = {"entries.sqlite3", "entries.sqlite3-journal"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Path:
    """A closed index with a fresh graph."""
    folder = tmp_path_factory.mktemp("graph") / "index"
    with Index.create(folder, tiny_bundle, exact_limit=LIMIT) as index:
        index.add(new_entries(VECTORS))
        index.refresh_graph()
    return folder


@pytest.fixture
def folder(tmp_path: Path, original: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "index"))


def open_index(folder: Path, read_only: bool = False) -> Index:
    return Index.open(folder, read_only=read_only, exact_limit=LIMIT)


def state(folder: Path) -> tuple[str, str]:
    with open_index(folder, read_only=True) as index:
        stats = index.stats()
    return stats["search"], stats["graph"]


def forbid(monkeypatch: pytest.MonkeyPatch, owner: type, *names: str) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError(f"{names} was called")

    for name in names:
        monkeypatch.setattr(owner, name, fail)


def check_answers(index: Index, vectors: dict[str, np.ndarray], recall: float) -> None:
    """Compare every answer with all cosines."""
    paths, matrix = list(vectors), np.stack(list(vectors.values()))
    hits = 0
    for query in QUERIES:
        cosines = dict(zip(paths, (matrix @ query).tolist(), strict=True))
        best = sorted(paths, key=lambda path: -cosines[path])[:K]
        matches = index.search(query, K)
        assert len(matches) == K
        similarities = [match.similarity for match in matches]
        assert similarities == sorted(similarities, reverse=True)
        np.testing.assert_allclose(similarities, [cosines[match.path] for match in matches], atol=1e-6)
        hits += len({match.path for match in matches} & set(best))
    assert hits >= recall * K * len(QUERIES)


def by_path(vectors: np.ndarray, start: int = 0) -> dict[str, np.ndarray]:
    return {entry.path: vector for entry, vector in zip(new_entries(vectors, start), vectors, strict=True)}


@pytest.mark.parametrize("read_only", [True, False])
def test_a_fresh_graph_answers_as_an_exact_search_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    assert state(folder) == ("hnsw", "fresh")
    forbid(monkeypatch, Search, "_nearest_of_all")
    with open_index(folder, read_only) as index:
        check_answers(index, by_path(VECTORS), recall=0.99)


def test_a_small_index_keeps_no_graph(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*ENTRIES, "graph.hnsw", "graph.json"}
    with Index.open(folder, exact_limit=COUNT) as index:
        assert (index.stats()["search"], index.stats()["graph"]) == ("exact", "not needed")
        assert index.rebuild_graph() is False
    assert {path.name for path in folder.iterdir()} == ENTRIES


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "graph.hnsw").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "graph.hnsw").write_bytes(content)


def cut_off(folder: Path) -> None:
    (folder / "graph.hnsw").write_bytes((folder / "graph.hnsw").read_bytes()[:-1])


def facts_of_another(**facts: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "graph.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    return change


def write_facts(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "graph.json").write_bytes(content) and None


DAMAGE = {
    "flipped byte": ("damaged", flip_a_byte),
    "cut off": ("damaged", cut_off),
    "empty": ("damaged", lambda folder: (folder / "graph.hnsw").write_bytes(b"")),
    "no graph": ("missing", lambda folder: (folder / "graph.hnsw").unlink()),
    "no facts": ("missing", lambda folder: (folder / "graph.json").unlink()),
    "facts are no JSON": ("damaged", write_facts(b"\xff{")),
    "facts are no object": ("damaged", write_facts(b"[1]")),
    "facts without a checksum": ("damaged", write_facts(b"{}")),
    "other hnswlib": ("stale", facts_of_another(hnswlib="0.1")),
    "other machine": ("stale", facts_of_another(platform="big-endian, 36 bits")),
    "other encoder": ("stale", facts_of_another(encoder_id="f" * 16)),
    "other dimension": ("stale", facts_of_another(embedding_dim=3)),
    "older": ("stale", facts_of_another(generation=0)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_graph_that_is_not_valid_is_never_loaded_and_costs_speed_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    expected, damage = DAMAGE[name]
    damage(folder)
    forbid(monkeypatch, Graph, "load", "search")
    assert state(folder) == ("exact", expected)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with open_index(folder, read_only=True) as index:
        check_answers(index, by_path(VECTORS), recall=1.0)
    assert caplog.messages == [
        f"{folder}: the search graph is {expected}, so {COUNT} entries are searched exactly; "
        f"for speed run: edgesim index rebuild {folder}"
    ]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("cure", [Index.refresh_graph, Index.rebuild_graph])
def test_a_graph_that_is_not_valid_is_made_again_by_a_writer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, cure: Callable[[Index], Any]
) -> None:
    DAMAGE[name][1](folder)
    with open_index(folder) as index:
        cure(index)
    assert state(folder) == ("hnsw", "fresh")
    forbid(monkeypatch, Search, "_nearest_of_all")
    with open_index(folder) as index:
        check_answers(index, by_path(VECTORS), recall=0.99)


def test_a_graph_that_is_replaced_while_it_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare = GraphCache._compare

    def replaced_before(cache: GraphCache, *arguments: Any) -> Any:
        monkeypatch.setattr(GraphCache, "_compare", compare)
        with open_index(folder) as writer:
            writer.rebuild_graph()
        return compare(cache, *arguments)

    before = (folder / "graph.hnsw").read_bytes()
    monkeypatch.setattr(GraphCache, "_compare", replaced_before)
    monkeypatch.setattr("edgesim.runtime.graph.DEFAULTS", HnswParameters(m=8))
    assert state(folder) == ("hnsw", "fresh")
    assert (folder / "graph.hnsw").read_bytes() != before


def test_a_graph_of_other_vectors_under_the_same_ids_is_not_gone_on_with(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    with Index.create(other, tiny_bundle, exact_limit=LIMIT) as index:
        index.add(new_entries(VECTORS[::-1]))
        index.refresh_graph()
    for name in ("graph.hnsw", "graph.json"):
        shutil.copyfile(other / name, folder / name)
    # As many commits, as many entries.
    assert state(folder) == ("exact", "stale")
    with open_index(folder) as index:
        index.remove(["/photos/00000.png"])
        forbid(monkeypatch, Graph, "mark_removed")
        index.refresh_graph()
        now = by_path(VECTORS)
        del now["/photos/00000.png"]
        check_answers(index, now, recall=0.99)


def test_what_hnswlib_refuses_though_its_checksum_is_right(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = (folder / "graph.hnsw").read_bytes()[:1000]
    (folder / "graph.hnsw").write_bytes(content)
    facts_of_another(sha256=hashlib.sha256(content).hexdigest())(folder)
    with open_index(folder) as index:
        check_answers(index, by_path(VECTORS), recall=1.0)
        assert "the search graph is damaged" in caplog.text
        index.refresh_graph()
        check_answers(index, by_path(VECTORS), recall=0.99)


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


def graph_of(index: Index) -> tuple[str, int]:
    stats = index.stats()
    return stats["graph"], stats["newer"]


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


def test_hnswlib_s_version_is_told_without_a_slow_import(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version("hnswlib")
    assert json.loads((folder / "graph.json").read_text())["hnswlib"] == version
    script = (
        "import sys, numpy; from pathlib import Path; from edgesim.runtime.index import Index\n"
        "with Index.open(Path(sys.argv[1]), read_only=True, exact_limit=int(sys.argv[2])) as index:\n"
        f"    print(len(index.search(numpy.eye({DIM}, dtype='f')[0], 3)), index.stats()['graph'])\n"
        "print({'hnswlib', 'importlib.metadata'} & set(sys.modules))"
    )
    result = run_python("-c", script, folder, str(LIMIT))
    assert result.stdout == "3 fresh\n{'hnswlib'}\n"
    # Where its metadata are not beside the module.
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    assert graph_facts._hnswlib_version() == version


def test_a_fresh_graph_is_left_alone_by_refresh_and_replaced_by_rebuild(folder: Path) -> None:
    written = (folder / "graph.hnsw").stat().st_mtime_ns
    with open_index(folder) as index:
        index.refresh_graph()
        assert (folder / "graph.hnsw").stat().st_mtime_ns == written
        index.rebuild_graph()
        assert (folder / "graph.hnsw").stat().st_mtime_ns != written


@pytest.mark.parametrize(("share", "anew"), [(0.24, False), (0.26, True)])
def test_when_a_quarter_is_removed_the_graph_is_built_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, share: float, anew: bool
) -> None:
    forbid(monkeypatch, Graph, "add" if anew else "build")
    now = by_path(VECTORS)
    removed = list(now)[: int(share * COUNT)]
    with open_index(folder) as index:
        index.remove(removed)
        index.refresh_graph()
        for path in removed:
            del now[path]
        check_answers(index, now, recall=0.99)


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


def test_a_full_disk_that_hnswlib_does_not_notice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save = Graph.save

    def save_half(graph: Graph, path: str) -> int:
        size = save(graph, path)
        with Path(path).open("r+b") as stream:
            stream.truncate(size // 2)
        return size

    monkeypatch.setattr(Graph, "save", save_half)
    with open_index(folder) as index:
        index.remove(["/photos/00000.png"])
        index.refresh_graph(completely=True)
        failure = f"{folder / 'graph.hnsw'}: cannot be written (No space left on device)"
        assert caplog.messages == [f"{failure}; the entries are safe, but searches are exact and slower"]
        with pytest.raises(StorageError) as caught:
            index.rebuild_graph()
        assert str(caught.value) == failure
    assert {path.name for path in folder.iterdir()} == {*ENTRIES, "graph.hnsw", "graph.json"}
    assert state(folder) == ("hnsw", "behind")


def test_graph_similarities_are_cosines() -> None:
    graph = Graph.build(np.array([5, 9]), np.eye(2, DIM, dtype=np.float32))
    query = np.zeros(DIM, dtype=np.float32)
    query[:2] = 0.6, 0.8
    ids, similarities = graph.search(query, 2) or ([], [])
    assert list(ids) == [9, 5]
    np.testing.assert_allclose(similarities, [0.8, 0.6], atol=1e-6)
