"""Entries for indexes whose vectors are known."""

from pathlib import Path

import numpy as np

from edgesim.runtime.entry import NewEntry
from tests.helpers import DIM


def unit_vectors(count: int, seed: int = 0) -> np.ndarray:
    """Return (count, DIM) float32 vectors of length 1, in a few clusters as embeddings are."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((8, DIM))[rng.integers(0, 8, count)] + 0.5 * rng.standard_normal(
        (count, DIM)
    )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def new_entry(path: str | Path, vector: np.ndarray | None, **facts: object) -> NewEntry:
    defaults = {"sha256": "0" * 64, "size": 1, "mtime_ns": 1, "labels": {}}
    return NewEntry(path=str(path), vector=vector, **{**defaults, **facts})


def new_entries(vectors: np.ndarray, start: int = 0) -> list[NewEntry]:
    return [new_entry(f"/photos/{number:05d}.png", vector) for number, vector in enumerate(vectors, start)]


def nearest_by_loop(vectors: dict[str, np.ndarray], query: np.ndarray, k: int) -> list[tuple[str, float]]:
    """The k most similar paths and their cosines, one pair at a time; equals in the order of the paths."""
    cosines = {
        path: sum(float(a) * float(b) for a, b in zip(v, query, strict=True)) for path, v in vectors.items()
    }
    return sorted(cosines.items(), key=lambda item: (-item[1], item[0]))[:k]
