"""The best of many similarities against a full sort, and answers of any length against a loop."""

from collections.abc import Iterator

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import UsageError
from edgesim.runtime.graph import best_of
from edgesim.runtime.index import Index
from tests.runtime.index_entries import new_entry, unit_vectors

COUNT = 1200
VECTORS = unit_vectors(COUNT)
QUERY = unit_vectors(1, seed=1)[0]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Iterator[Index]:
    """More entries than one part of a reading and one statement take."""
    folder = tmp_path_factory.mktemp("exact") / "index"
    with Index.create(folder, tiny_bundle) as index:
        index.add(
            [
                new_entry(f"/photos/{number:05d}.png", vector, labels={"n": str(number), "m": "x"})
                for number, vector in enumerate(VECTORS)
            ]
        )
        yield index


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("count", [1, 9, 95, 96, 97, 640, 641, 5000])
@pytest.mark.parametrize("steps", [0, 2, 50, 10**6])
def test_the_best_are_those_of_a_stable_sort(count: int, k: int, steps: int) -> None:
    """With few steps many similarities are equal; without any, all of them."""
    numbers = np.random.default_rng(count).random(count)
    similarities = (np.round(numbers * steps) / max(1, steps)).astype(np.float32)
    ids = np.arange(count, dtype=np.int64) * 7 + 3
    expected = np.argsort(-similarities, kind="stable")[:k]
    found_ids, found = best_of(ids, similarities, k)
    assert np.array_equal(found_ids, ids[expected])
    assert np.array_equal(found, similarities[expected])


@pytest.mark.parametrize("k", [1, 10, 499, 500, 501, COUNT, COUNT + 5])
def test_an_answer_of_any_length_has_each_entry_s_own_path_and_labels(index: Index, k: int) -> None:
    cosines = VECTORS @ QUERY
    expected = np.argsort(-cosines, kind="stable")[:k]
    matches = index.search(QUERY, k)
    assert [match.entry_id for match in matches] == [number + 1 for number in expected]
    for match, number in zip(matches, expected, strict=True):
        assert match.path == f"/photos/{number:05d}.png"
        assert match.labels == {"n": str(number), "m": "x"}
        assert match.similarity == pytest.approx(cosines[number], abs=1e-6)


def test_nearest_is_what_search_finds(index: Index) -> None:
    for where in (None, "n in (5, 50, 500)"):
        ids, similarities = index.nearest(QUERY, 7, where)
        matches = index.search(QUERY, 7, where)
        assert ids.tolist() == [match.entry_id for match in matches]
        assert similarities.tolist() == [match.similarity for match in matches]
    with pytest.raises(UsageError, match=r"^k must be at least 1, got 0$"):
        index.nearest(QUERY, 0)


def test_vectors_come_back_part_by_part_as_they_were(index: Index) -> None:
    ids, vectors = index.vectors()
    assert ids.tolist() == list(range(1, COUNT + 1))
    assert np.array_equal(vectors, VECTORS)


def test_each_of_many_selected_entries_has_its_own_labels(index: Index) -> None:
    labels = [entry.labels for entry in index.entries("m=x")]
    assert labels == [{"n": str(number), "m": "x"} for number in range(COUNT)]
