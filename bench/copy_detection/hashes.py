"""Perceptual hashes as encoders of the copy benchmark: pHash and PDQ. Needs: pip install imagehash pdqhash

Measured with imagehash 4.3.2 (BSD-2-Clause) and pdqhash 0.2.8 (MIT). A hash of n bits becomes a vector of
+1 and -1 divided by sqrt(n): the inner product of two is 1 - 2 * (their Hamming distance) / n.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copy_detection.peers import CopyEncoder, FloatArray, Pictures
from edgesim.errors import MissingDependencyError


def bit_vectors(bits: NDArray[Any]) -> FloatArray:
    """Turn bits (..., n) into vectors of length 1 and +-1 / sqrt(n)."""
    return np.asarray((2.0 * (bits != 0) - 1.0) / np.sqrt(bits.shape[-1]), dtype=np.float32)


class PHash(CopyEncoder):
    """pHash of 64 bits: the signs of low frequencies against their median."""

    name, bytes, dim = "pHash", 0, 64

    def __init__(self) -> None:
        self._package = _package("imagehash")

    def embed(self, pictures: Pictures) -> FloatArray:
        return bit_vectors(np.stack([self._package.phash(p).hash.ravel() for p in pictures]))


class Pdq(CopyEncoder):
    """PDQ of 256 bits."""

    name, bytes, dim = "PDQ", 0, 256

    def __init__(self) -> None:
        self._package = _package("pdqhash")

    def embed(self, pictures: Pictures) -> FloatArray:
        return bit_vectors(np.stack([self._package.compute(np.asarray(p))[0] for p in pictures]))


class PdqDihedral(Pdq):
    """PDQ of the query in its eight flips and right-angled rotations; the nearest of the eight counts."""

    name = "PDQ, 8 flips and rotations"

    def embed_queries(self, pictures: Pictures) -> FloatArray:
        found = [np.stack(self._package.compute_dihedral(np.asarray(p))[0]) for p in pictures]
        return bit_vectors(np.stack(found, axis=1))


def hashes() -> list[CopyEncoder]:
    """Return all of them. Raises `MissingDependencyError`."""
    return [PHash(), Pdq(), PdqDihedral()]


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(f"{name} is not installed. Run: pip install {name}") from error
