"""The background of an index: images that no query shows, by which scores become comparable between queries.

Some pictures are like everything, a blank wall or a page of text, and their nearest entries are near though
they are not the same. From the similarities of a query its mean similarity to the nearest images of the
background is taken (score normalisation, see `edgesim.copy_metrics.predict`); the order of a query's matches
stays as it is.

The vectors lie in a file in the index's folder, which is named after its content, so that no file that a
reader may have open is ever changed. The index keeps that name (`edgesim.runtime.scoring`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgesim.copy_metrics import background_similarity
from edgesim.errors import ImageError, IndexStoreError, InputError
from edgesim.files import find_images, write_atomic
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.entry import one_line

# How many images are taken of the folder, evenly spread: more change the scores little and cost time in each
# query. Our choice.
MAX_IMAGES = 1_000

_PATTERN = "background-*.npy"
_CURE = "calibrate again with: edgesim calibrate"
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Background:
    """The vectors (B, D) of a background, float32, L2-normalised; B is 1 at least."""

    vectors: NDArray[np.float32]

    def similarity(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is to be taken from the similarities of each of the queries (Q, D), as (Q,)."""
        return background_similarity(queries, self.vectors)

    def save(self, folder: Path) -> tuple[str, str]:
        """Write the file into the folder of an index; return its name and its SHA-256."""
        stream = io.BytesIO()
        np.save(stream, self.vectors.astype("<f4"), allow_pickle=False)
        digest = hashlib.sha256(stream.getvalue()).hexdigest()
        name = f"background-{digest[:16]}.npy"
        write_atomic(folder / name, stream.getvalue())
        return name, digest

    @classmethod
    def load(cls, folder: Path, name: str, digest: str, dim: int) -> Background:
        """Read the file; raises `IndexStoreError` if it is missing or not the one with this SHA-256."""
        vectors = np.load(io.BytesIO(read_background(folder, name, digest)), allow_pickle=False)
        if vectors.ndim != 2 or vectors.shape[1] != dim or len(vectors) == 0:
            raise IndexStoreError(
                f"{folder}/{name}: expected vectors of {dim} numbers, got {vectors.shape}; {_CURE}"
            )
        return cls(vectors.astype(np.float32))


def read_background(folder: Path, name: str, digest: str) -> bytes:
    """Return a background's file; raises `IndexStoreError` if it is gone or not the one with this SHA-256."""
    path = folder / Path(name).name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IndexStoreError(f"{one_line(path)}: cannot be read ({error.strerror}); {_CURE}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise IndexStoreError(f"{one_line(path)}: changed or damaged; {_CURE}")
    return content


def delete_backgrounds(folder: Path, kept: str | None) -> None:
    """Delete the files of earlier backgrounds from the folder of an index."""
    for path in folder.glob(_PATTERN):
        if path.name != kept:
            path.unlink(missing_ok=True)


def evenly_spread(items: Sequence[T], most: int) -> list[T]:
    """Return all items, or as many as are allowed, from the first to the last in equal steps."""
    if len(items) <= most:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, most).round().astype(int).tolist()]


def embed_background(
    embedder: Embedder, folder: Path, progress: bool = False
) -> tuple[Background, list[tuple[str, str]]]:
    """Compute the background from the images below a folder, of at most `MAX_IMAGES` of them.

    Returns:
        The background, and path and reason of each image that cannot be used.

    Raises:
        InputError: no such folder, or no image in it that can be used.
    """
    from tqdm import tqdm

    vectors, skipped = [], []
    images = evenly_spread(find_images([folder]), MAX_IMAGES)
    for path in tqdm(images, desc="background", unit="image", disable=None if progress else True):
        try:
            vectors.append(embedder.embed_image(path))
        except ImageError as error:
            skipped.append((str(path), str(error).removeprefix(f"{path}: ")))
    if not vectors:
        first = ": ".join(skipped[0])
        raise InputError(f"{folder}: no image in it can be used as background; the first is {first}")
    return Background(np.stack(vectors)), skipped
