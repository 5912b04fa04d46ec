"""Removing and labelling by path, id and filter; compacting."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import InputError, UsageError
from edgesim.runtime.index import Index
from edgesim.runtime.selection import LabelChange, Selection
from edgesim.runtime.verify import verify_index
from tests.runtime.index_entries import new_entries, new_entry, unit_vectors

LIMIT = 30


@pytest.fixture
def index(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Index]:
    """Entries /a/0 to /b/7, with ids from 1; `line` is the number modulo 3."""
    with Index.create(tmp_path / "index", tiny_bundle, exact_limit=LIMIT) as index:
        names = [f"/{'ab'[number // 4]}/{number}" for number in range(8)]
        vectors = unit_vectors(8)
        index.add(
            [
                new_entry(name, vector, labels={"line": str(number % 3)})
                for number, (name, vector) in enumerate(zip(names, vectors, strict=True))
            ]
        )
        yield index
    assert verify_index(index.folder).damage == []


def paths(index: Index) -> str:
    return " ".join(entry.path for entry in index.entries())


def labels(index: Index) -> dict[str, dict[str, str]]:
    return {entry.path: entry.labels for entry in index.entries()}


def test_remove_by_id_path_and_filter(index: Index) -> None:
    assert index.remove(ids=[2, 3], paths=["/b/4"]) == 3
    assert paths(index) == "/a/0 /a/3 /b/5 /b/6 /b/7"
    # Of those named, the ones that the filter selects.
    assert index.remove(["/b"], where="line=0") == 1
    assert paths(index) == "/a/0 /a/3 /b/5 /b/7"
    assert index.remove(where="line in (1, 2)") == 2
    assert paths(index) == "/a/0 /a/3"
    assert index.remove(where="line=7") == 0


def test_labels_are_given_and_taken_away_in_one_commit(index: Index) -> None:
    first = LabelChange(selection=Selection.of(["/b"], where="line!=0"), labels={"x": "1"}, removed=["line"])
    second = LabelChange(selection=Selection.of(ids=[1, 5]), labels={"line": "9"})
    # /b/4 is in both; /b/6 is on line 0.
    assert index.label([first, second]) == 4
    assert labels(index) == {
        "/a/0": {"line": "9"},
        "/a/1": {"line": "1"},
        "/a/2": {"line": "2"},
        "/a/3": {"line": "0"},
        "/b/4": {"x": "1", "line": "9"},
        "/b/5": {"x": "1"},
        "/b/6": {"line": "0"},
        "/b/7": {"x": "1"},
    }
    before = index.stats()
    assert index.label([first, second]) == 1  # /b/4 loses its line, and gets it again
    assert index.stats() == before


@pytest.mark.parametrize(
    ("selection", "name"),
    [
        (Selection.of(ids=[1, 99]), "id 99"),
        (Selection.of(ids=[1, 2**70]), f"id {2**70}"),
        (Selection.of(["/a", "/c"]), "/c"),
    ],
)
def test_what_is_not_there(index: Index, selection: Selection, name: str) -> None:
    folder = index.folder
    message = f"{name}: not in the index {folder}; nothing was changed. See: edgesim index list {folder}"
    before = labels(index)
    good = LabelChange(selection=Selection.of(["/b"]), labels={"new": "1"})
    with pytest.raises(InputError) as caught:
        index.label([good, LabelChange(selection=selection, labels={"new": "1"})])
    assert str(caught.value) == message
    with pytest.raises(InputError) as caught:
        index.remove(selection.paths, ids=selection.ids)
    assert str(caught.value) == message
    assert labels(index) == before


def test_a_selection_of_nothing(index: Index) -> None:
    with pytest.raises(UsageError, match=r"^which entries\? Name a PATH, an id \(--id\) or what labels must"):
        index.remove()


def test_a_label_that_is_not_utf_8(index: Index) -> None:
    change = LabelChange(selection=Selection.of(["/a"]), labels={"caf\udce9": "1"})
    with pytest.raises(UsageError, match=r"is not valid UTF-8$"):
        index.label([change])


def test_compact_gives_room_back_and_keeps_the_rest(index: Index) -> None:
    vectors = unit_vectors(400, seed=2)
    index.add(new_entries(vectors))
    index.refresh_graph()
    index.remove(f"/photos/{number:05d}.png" for number in range(0, 400, 5))
    index.refresh_graph()
    query = unit_vectors(1, seed=3)[0]
    before, found, stats = index.entries(), index.search(query, 10), index.stats()
    assert index.compact() is True
    assert index.entries() == before
    assert [match.path for match in index.search(query, 10)] == [match.path for match in found]
    sizes = index.stats()["bytes"]
    # A fifth of the entries was removed, and of the nodes in the graph.
    assert sizes["entries.sqlite3"] < 0.9 * stats["bytes"]["entries.sqlite3"]
    assert sizes["graph.hnsw"] < 0.85 * stats["bytes"]["graph.hnsw"]
    assert index.stats()["graph"] == "fresh"
    assert index.compact() is False
    assert index.stats()["bytes"] == sizes
