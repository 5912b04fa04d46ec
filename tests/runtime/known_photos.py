"""Indexes of real picture files with known vectors, and calibrations of them, for several test files."""

from pathlib import Path

import numpy as np

from edgesim.bundle import Bundle
from edgesim.runtime.matcher import Matcher
from edgesim.thresholds import Aims
from tests.helpers import TinyEncoder, photo, write_photos

# Shown by 10 and by 20 queries: indexes of 20 images can be calibrated.
LOOSE = Aims(false_alarms=0.3, misses=0.2)
COUNT = 20


def photo_index(folder: Path, bundle: Bundle, count: int) -> Path:
    """Make an index of `count` photos below `folder`; return the index."""
    write_photos(folder / "photos", count)
    with Matcher(folder / "index", str(bundle.folder), create=True) as matcher:
        matcher.add([folder / "photos"])
    return folder / "index"


def embedded(seeds: range) -> np.ndarray:
    """Return the embeddings (N, D) of photos, by the encoder written out in NumPy."""
    return np.stack([TinyEncoder().embed(photo(seed)) for seed in seeds])


def normalised_by_loop(query: np.ndarray, similarity: float, background: np.ndarray) -> float:
    """The similarity less the mean of the three best similarities to the background, one at a time."""
    best = sorted((sum(a * b for a, b in zip(query, row, strict=True)) for row in background), reverse=True)
    nearest = best[:3]
    return similarity - sum(nearest) / len(nearest)
