"""What the tests of the search graph ask of an index of 600 entries, of which 100 may be searched exactly."""

from pathlib import Path

import numpy as np
import pytest

from edgesim.runtime.index import Index
from tests.runtime.index_entries import new_entries, unit_vectors

LIMIT, COUNT, K = 100, 600, 10
VECTORS = unit_vectors(COUNT)
QUERIES = unit_vectors(40, seed=1)
ENTRIES = {"entries.sqlite3", "entries.sqlite3-journal"}


def open_index(folder: Path, read_only: bool = False) -> Index:
    return Index.open(folder, read_only=read_only, exact_limit=LIMIT)


def state(folder: Path) -> tuple[str, str]:
    with open_index(folder, read_only=True) as index:
        stats = index.stats()
    return stats["search"], stats["graph"]


def graph_of(index: Index) -> tuple[str, int]:
    stats = index.stats()
    return stats["graph"], stats["newer"]


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
