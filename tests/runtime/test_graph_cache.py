"""The files of the search graph: never trusted, made again, written when they must be, lost without harm."""

import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import StorageError
from edgesim.runtime import graph_facts
from edgesim.runtime.graph import Graph, HnswParameters
from edgesim.runtime.graph_cache import GraphCache
from edgesim.runtime.index import Index
from edgesim.runtime.search import Search
from tests.helpers import DIM, run_python
from tests.runtime.graph_index import (
    COUNT,
    ENTRIES,
    LIMIT,
    VECTORS,
    by_path,
    check_answers,
    forbid,
    open_index,
    state,
)
from tests.runtime.index_entries import new_entries


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


def test_whoever_may_read_files_may_read_the_graph(folder: Path) -> None:
    # As a query does that runs under another account than the program that adds.
    for name in ("graph.hnsw", "graph.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o644


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
