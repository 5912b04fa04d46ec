"""Index: what is added is found, what is removed is not, whatever other programs do meanwhile."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import InputError, UsageError
from edgesim.runtime.index import Index
from tests.helpers import DIM
from tests.runtime.index_entries import nearest_by_loop, new_entries, new_entry, unit_vectors


@pytest.fixture
def index(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Index]:
    with Index.create(tmp_path / "index", tiny_bundle) as index:
        yield index


def found(index: Index, query: np.ndarray, k: int) -> list[tuple[str, float]]:
    return [(match.path, match.similarity) for match in index.search(query, k)]


@pytest.mark.parametrize("k", [1, 5, 299, 300, 301])
def test_search_equals_a_loop_over_all_entries(index: Index, k: int) -> None:
    vectors = unit_vectors(300)
    entries = new_entries(vectors)
    index.add(entries)
    for query in unit_vectors(5, seed=1):
        expected = nearest_by_loop({e.path: v for e, v in zip(entries, vectors, strict=True)}, query, k)
        matches = found(index, query, k)
        assert [path for path, _ in matches] == [path for path, _ in expected]
        np.testing.assert_allclose([s for _, s in matches], [s for _, s in expected], atol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 70, 100, 101])
def test_among_equals_the_first_added_comes_first(index: Index, k: int) -> None:
    # Vectors along the axes, so that equal similarities are equal to the bit.
    axes = np.eye(DIM, dtype=np.float32)
    index.add([new_entry(f"/{99 - number}", axes[number % 2]) for number in range(100)])
    order = [*range(99, 0, -2), *range(98, -1, -2)]
    assert [path for path, _ in found(index, axes[0], k)] == [f"/{number}" for number in order[:k]]


def test_an_empty_index_has_no_matches(index: Index) -> None:
    assert index.search(unit_vectors(1)[0], 5) == []
    assert len(index) == 0


def test_k_must_be_positive(index: Index) -> None:
    with pytest.raises(UsageError, match=r"^k must be at least 1, got 0$"):
        index.search(unit_vectors(1)[0], 0)


def test_entries_keep_what_was_said_about_them(index: Index) -> None:
    vector = unit_vectors(1)[0]
    facts = {"sha256": "ab" * 32, "size": 123456789012, "mtime_ns": 1700000000123456789}
    index.add([new_entry("/photos/ä b.png", vector, labels={"line": "3", "Größe": "=L"}, **facts)])
    (entry,) = index.entries()
    assert vars(entry) == {
        "entry_id": 1,
        "path": "/photos/ä b.png",
        "labels": {"Größe": "=L", "line": "3"},
        **facts,
    }
    assert index.find("/photos/ä b.png") == entry
    assert index.find("/photos/ä") is None
    match = index.search(vector, 1)[0]
    assert (match.path, match.labels, match.entry_id) == (entry.path, entry.labels, 1)
    assert match.similarity == pytest.approx(1.0, abs=1e-6)


def test_a_file_name_need_not_be_utf_8(index: Index) -> None:
    path = b"/photos/caf\xe9.png".decode("utf-8", "surrogateescape")
    index.add([new_entry(path, unit_vectors(1)[0])])
    assert [entry.path for entry in index.entries()] == [path]
    assert index.remove([path]) == 1


def test_another_content_replaces_the_vector_and_keeps_the_labels(index: Index) -> None:
    old, new = unit_vectors(2)
    index.add([new_entry("/a", old, labels={"line": "3", "shift": "1"}), new_entry("/b", old)])
    index.add([new_entry("/a", new, labels={"shift": "2", "part": "x"})])
    assert len(index) == 2
    match = index.search(new, 1)[0]
    assert (match.path, match.labels) == ("/a", {"line": "3", "shift": "2", "part": "x"})
    # An id names a path with a content, so it is a new one.
    assert match.entry_id == 3
    assert [path for path, _ in found(index, old, 1)] == ["/b"]


def test_the_same_content_keeps_vector_and_id(index: Index) -> None:
    vector = unit_vectors(1)[0]
    index.add([new_entry("/a", vector, labels={"line": "3"})])
    generation = index.stats()["generation"]
    index.add([new_entry("/a", None, size=5, mtime_ns=6, labels={"part": "x"})])
    (entry,) = index.entries()
    assert (entry.entry_id, entry.size, entry.mtime_ns) == (1, 5, 6)
    assert entry.labels == {"line": "3", "part": "x"}
    assert found(index, vector, 1) == [("/a", pytest.approx(1.0, abs=1e-6))]
    assert index.stats()["generation"] == generation


def test_what_another_program_has_removed_is_not_brought_back_without_a_vector(index: Index) -> None:
    index.add([new_entry("/gone", None)])
    assert index.entries() == []


def test_remove_takes_files_and_folders(index: Index) -> None:
    vector = unit_vectors(1)[0]
    paths = ["/p/a.png", "/p/ä.png", "/p/sub/c.png", "/p-/d.png", "/p0/e.png", "/pq.png"]
    index.add([new_entry(path, vector) for path in paths])
    assert index.remove(["/p/a.png"]) == 1
    assert index.remove(["/p/sub/../", "/pq.png"]) == 3
    assert [entry.path for entry in index.entries()] == ["/p-/d.png", "/p0/e.png"]
    assert {path for path, _ in found(index, vector, 9)} == {"/p-/d.png", "/p0/e.png"}
    assert index.remove(["/"]) == 2


def test_labels_go_with_their_entry(index: Index) -> None:
    index.add([new_entry("/a", unit_vectors(1)[0], labels={"line": "3"})])
    index.remove(["/a"])
    with sqlite3.connect(index.folder / "entries.sqlite3") as connection:
        assert connection.execute("SELECT count(*) FROM labels").fetchone() == (0,)
    connection.close()


def test_a_path_that_is_not_there_removes_nothing(index: Index) -> None:
    index.add(new_entries(unit_vectors(2)))
    with pytest.raises(InputError) as caught:
        index.remove(["/photos/00000.png", "/photos/none.png"])
    assert str(caught.value) == (
        f"/photos/none.png: not in the index {index.folder}; nothing was changed. "
        f"See: edgesim index list {index.folder}"
    )
    assert len(index) == 2


def test_an_id_is_never_given_twice(index: Index) -> None:
    vectors = unit_vectors(3)
    index.add(new_entries(vectors[:2]))
    index.remove(["/photos/00001.png"])
    index.add([new_entry("/c", vectors[2])])
    assert [entry.entry_id for entry in index.entries()] == [1, 3]


def test_one_commit_is_all_or_nothing(index: Index) -> None:
    good, short = unit_vectors(1)[0], np.ones(3, dtype=np.float32)
    with pytest.raises(ValueError, match=r"vector must be L2-normalised and have shape \(16,\), got \(3,\)"):
        index.add([new_entry("/a", good), new_entry("/b", short)])
    with pytest.raises(ValueError, match="vector must be L2-normalised"):
        index.add([new_entry("/a", good), new_entry("/b", 1.1 * good)])
    assert (len(index), index.stats()["generation"]) == (0, 0)


def test_a_zero_vector_is_like_nothing(index: Index) -> None:
    vector = unit_vectors(1)[0]
    index.add([new_entry("/zero", np.zeros(DIM, np.float32)), new_entry("/a", vector)])
    assert found(index, vector, 2) == [("/a", pytest.approx(1.0)), ("/zero", 0.0)]


@pytest.mark.parametrize("read_only", [True, False])
def test_every_search_sees_the_last_commit_of_any_program(
    index: Index, tiny_bundle: Bundle, read_only: bool
) -> None:
    first, second = unit_vectors(2)
    with Index.open(index.folder, tiny_bundle, read_only) as reader:
        assert reader.search(first, 1) == []
        index.add([new_entry("/a", first)])
        assert [path for path, _ in found(reader, first, 5)] == ["/a"]
        index.add([new_entry("/b", second)])
        assert {path for path, _ in found(reader, first, 5)} == {"/a", "/b"}
        index.remove(["/a"])
        assert [path for path, _ in found(reader, first, 5)] == ["/b"]


def test_stats(index: Index, tiny_bundle: Bundle) -> None:
    first, second = unit_vectors(2)
    index.add([new_entry("/a", first, labels={"line": "3", "part": "x"})])
    index.add([new_entry("/b", second, labels={"line": "4"})])
    size = (index.folder / "entries.sqlite3").stat().st_size
    assert index.stats() == {
        "entries": 2,
        "embedding_dim": DIM,
        "encoder": "tiny-0",
        "encoder_id": tiny_bundle.encoder_id,
        "key_model": None,
        "key_model_id": None,
        "bundle": str(tiny_bundle.folder),
        "generation": 2,
        "search": "exact",
        "graph": "not needed",
        "newer": 0,
        "graph_memory": 0,
        "graph_settings": None,
        "bytes": {"entries.sqlite3": size},
        "labels": {"line": {"entries": 2, "values": 2}, "part": {"entries": 1, "values": 1}},
    }


def test_built_in_bundles_are_remembered_by_name(
    tmp_path: Path, tiny_bundle: Bundle, other_bundle: Bundle, builtin_bundles: None
) -> None:
    for name, bundle in (("copy", tiny_bundle), ("similar", other_bundle)):
        with Index.create(tmp_path / name, bundle) as index:
            assert index.facts.bundle == name


def test_the_file_is_journalled_by_rollback_and_synchronised_in_full(index: Index) -> None:
    connection = index._store._connection
    values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert values == ["persist", 2]
