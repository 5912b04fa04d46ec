"""Thousands of removals and additions leave an index as large, and as good, as it was."""

from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.runtime.index import Index
from edgesim.runtime.verify import verify_index
from tests.runtime.index_entries import new_entries, unit_vectors

LIMIT, LIVE, BATCH, ROUNDS, K = 100, 400, 100, 25, 10
QUERIES = unit_vectors(40, seed=1)


def test_five_thousand_changes_leave_no_growth_and_no_worse_answers(
    memory: Path, tiny_bundle: Bundle
) -> None:
    folder, chance = memory / "index", np.random.default_rng(0)
    entries = new_entries(unit_vectors(LIVE + BATCH * ROUNDS, seed=2))
    live = {entry.path: entry.vector for entry in entries[:LIVE]}
    largest: dict[str, list[int]] = {}
    with Index.create(folder, tiny_bundle, exact_limit=LIMIT) as index:
        index.add(entries[:LIVE])
        index.refresh_graph()
        at_first = sizes(folder)
        for number in range(ROUNDS):
            # In turn the oldest, and any.
            paths = list(live)[:BATCH] if number % 2 else chance.choice(list(live), BATCH, replace=False)
            assert index.remove([str(path) for path in paths]) == BATCH
            for path in paths:
                del live[path]
            new = entries[LIVE + BATCH * number :][:BATCH]
            index.add(new)
            live |= {entry.path: entry.vector for entry in new}
            index.refresh_graph()
            assert len(index) == LIVE
            for name, size in sizes(folder).items():
                largest.setdefault(name, []).append(size)
        assert index.stats()["search"] == "hnsw"
        assert found_share(index, live) >= 0.99
        vectors = index.vectors()[1]
        np.testing.assert_array_equal(vectors, np.stack(list(live.values())))
    # What is removed makes room for what comes, though SQLite's pages stay only three quarters full.
    assert max(largest["entries.sqlite3"]) <= 1.4 * at_first["entries.sqlite3"]
    # A quarter of a graph may be removed entries, and what a batch brings before that is noticed.
    assert max(largest["graph.hnsw"]) <= 1.1 * at_first["graph.hnsw"] * (4 / 3 + BATCH / LIVE)
    for sizes_of_one in largest.values():
        assert max(sizes_of_one[-8:]) <= max(sizes_of_one[:-8])
    assert set(largest) == {"entries.sqlite3", "entries.sqlite3-journal", "graph.hnsw", "graph.json"}
    assert verify_index(folder).damage == []


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def found_share(index: Index, live: dict[str, np.ndarray]) -> float:
    """Return which share of the nearest by all cosines a search finds."""
    paths, matrix = np.array(list(live)), np.stack(list(live.values()))
    hits = 0
    for query in QUERIES:
        nearest = set(paths[np.argsort(-(matrix @ query))[:K]].tolist())
        hits += len({match.path for match in index.search(query, K)} & nearest)
    return hits / (K * len(QUERIES))


@pytest.mark.parametrize("removed", [0.2, 0.9])
def test_what_was_removed_is_given_back_by_compacting(
    removed: float, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    entries = new_entries(unit_vectors(LIVE, seed=2))
    kept = entries[int(removed * LIVE) :]
    folder, anew = tmp_path / "index", tmp_path / "anew"
    with Index.create(folder, tiny_bundle, exact_limit=10) as index:
        index.add(entries)
        index.refresh_graph()
        index.remove([entry.path for entry in entries[: int(removed * LIVE)]])
        index.compact()
        assert len(index) == len(kept)
    with Index.create(anew, tiny_bundle, exact_limit=10) as index:
        index.add(kept)
        index.refresh_graph()
    after, expected = sizes(folder), sizes(anew)
    for name in ("entries.sqlite3", "graph.hnsw"):
        assert after[name] == pytest.approx(expected[name], rel=0.02)
