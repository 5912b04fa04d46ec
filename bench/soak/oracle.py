"""What the soak run knows without asking the index: which photos are in it, and which are nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
# Two sums of 128 products in another order differ by less.
TOLERANCE = 1e-5


class Oracle:
    """All entries that there may be, those that are there now, and the exact answer to a query.

    Args:
        names: paths as the index gives them.
        vectors: their L2-normalised embeddings (N, D).
    """

    def __init__(self, names: Sequence[str], vectors: FloatArray) -> None:
        self._rows = {name: row for row, name in enumerate(names)}
        self._vectors = vectors
        self._present = np.zeros(len(names), dtype=bool)

    def set_present(self, names: Sequence[str], present: bool) -> None:
        """Take note that entries were added, or removed."""
        for name in names:
            self._present[self._rows[name]] = present

    def count(self) -> int:
        """Return how many entries there are."""
        return int(self._present.sum())

    def is_right(self, name: str, answer: Sequence[tuple[str, float]], k: int) -> bool:
        """Return whether the answer, best first, is the `k` entries most similar to the photo of that name.

        Entries of equal similarity may stand in either order. An entry that is not there, one named twice, or
        a similarity that is not its own makes the answer wrong.
        """
        similarities = self._vectors @ self._vectors[self._rows[name]]
        best = np.sort(similarities[self._present])[::-1][:k]
        rows = [self._rows.get(found, -1) for found, _ in answer]
        if len(answer) != len(best) or len(set(rows)) != len(rows):
            return False
        if any(row < 0 or not self._present[row] for row in rows):
            return False
        given = np.array([similarity for _, similarity in answer])
        return bool(
            np.allclose(given, best, rtol=0, atol=TOLERANCE)
            and np.allclose(given, similarities[rows], rtol=0, atol=TOLERANCE)
        )
