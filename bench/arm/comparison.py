"""Embeddings and answers of the guest against those of this machine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.metrics import paired_cosine
from edgesim.runtime.embedder import SELF_TEST_COSINE, Embedder
from edgesim.runtime.index import Index
from edgesim.runtime.matcher import Matcher

# Engines whose int8 kernels give the same numbers on every CPU, if their versions are the same. Those of
# tflite-runtime round otherwise on Arm; there the limit of the self-test holds.
BIT_EQUAL = ("onnxruntime", "litert")
# Similarities are sums of float32 products, whose order differs between CPUs.
SIMILARITY_TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far embeddings of the guest are those of this machine.

    Attributes:
        count: how many were compared.
        equal: how many are equal to the last bit.
        lowest_cosine: between the two of a pair.
        largest_difference: between two numbers.
    """

    count: int
    equal: int
    lowest_cosine: float
    largest_difference: float

    def holds(self, engine: str, same_version: bool) -> bool:
        """Return whether this is as near as the engine promises."""
        if engine in BIT_EQUAL and same_version:
            return self.equal == self.count
        return self.lowest_cosine >= SELF_TEST_COSINE


def agreement(guest: NDArray[np.float32], host: NDArray[np.float32]) -> Agreement:
    """Compare embeddings (N, D), L2-normalised, pair by pair."""
    return Agreement(
        count=len(host),
        equal=int(np.all(guest == host, axis=1).sum()),
        lowest_cosine=float(paired_cosine(guest, host).min()),
        largest_difference=float(np.abs(guest - host).max()),
    )


def embed_photos(embedder: Embedder, photos: list[Path]) -> NDArray[np.float32]:
    """Return the embeddings (N, D) of image files on this machine."""
    return np.stack([embedder.embed_image(photo) for photo in photos])


def indexed_vectors(folder: Path, photos: list[Path]) -> NDArray[np.float32]:
    """Return the vectors (N, D) that an index holds of image files."""
    with Index.open(folder, read_only=True) as index:
        ids, vectors = index.vectors()
        id_of = {entry.path: entry.entry_id for entry in index.entries()}
    row_of = {entry_id: row for row, entry_id in enumerate(ids.tolist())}
    return vectors[[row_of[id_of[str(photo)]] for photo in photos]]


def differing_answers(report: str, folder: Path, bundle: Path, engine: str) -> list[str]:
    """Return the queries that this machine answers otherwise than the guest.

    Args:
        report: what `edgesim query --json` printed in the guest.
        folder: the index, made in the guest.
        bundle: the encoder.
        engine: for the queries here.
    """
    differing = []
    with Matcher(folder, str(bundle), engine, read_only=True) as matcher:
        for answer in json.loads(report)["queries"]:
            matches: list[dict[str, Any]] = answer.get("matches", [])
            here = matcher.query(Path(answer["query"]), k=max(len(matches), 1))
            same = [match["path"] for match in matches] == [match.path for match in here] and all(
                abs(match["similarity"] - other.similarity) <= SIMILARITY_TOLERANCE
                for match, other in zip(matches, here, strict=True)
            )
            if not same:
                differing.append(answer["query"])
    return differing
