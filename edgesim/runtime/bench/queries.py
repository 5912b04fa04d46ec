"""A query with a photo, stage by stage: what `edgesim query` does between the bytes and the matches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from edgesim.bench_figures import Query
from edgesim.bundle import Bundle
from edgesim.metrics import l2_normalise
from edgesim.preprocess import decode_image, resize_image
from edgesim.runtime.bench.timing import run_windows, stage_timings, warm_up
from edgesim.runtime.engines import load_backend
from edgesim.runtime.index import Index
from edgesim.runtime.match import Match

if TYPE_CHECKING:
    from edgesim.runtime.bench.photos import Photo

_MATCHES = 5


class QueryStages:
    """Answers queries as `Embedder.embed_image` and `Index.search` do together, and times the stages.

    Args:
        bundle: the encoder.
        engine, threads: of the inference.
        index: to search in; None to end with the embedding.

    Attributes:
        searching: whether there is an index.
        embedding: L2-normalised (D,), of the last query.
        matches: of the last query; empty without an index.
    """

    def __init__(self, bundle: Bundle, engine: str, threads: int, index: Index | None) -> None:
        self._spec, self._backend = bundle.spec, load_backend(bundle, engine, threads)
        self._index, self.searching = index, index is not None
        self.embedding = np.empty(0, dtype=np.float32)
        self.matches: list[Match] = []

    def answer(self, content: bytes) -> tuple[float, ...]:
        """Answer one query; return the milliseconds of decode, preprocess, inference, search, and of all."""
        size = self._spec.input_size
        start = time.perf_counter()
        picture = decode_image(content, min_side=2 * size)
        decoded = time.perf_counter()
        images = self._backend.prepare(resize_image(picture, size)[None], self._spec)
        preprocessed = time.perf_counter()
        self.embedding = l2_normalise(self._backend.infer(images))[0]
        embedded = time.perf_counter()
        if self._index is not None:
            self.matches = self._index.search(self.embedding, _MATCHES)
        end = time.perf_counter()
        stages = (
            decoded - start,
            preprocessed - decoded,
            embedded - preprocessed,
            end - embedded,
            end - start,
        )
        return tuple(seconds * 1000 for seconds in stages)


def measure_query(stages: QueryStages, photo: Photo, seconds: float) -> Query:
    """Answer queries with one photo for some seconds."""

    def step() -> tuple[float, ...]:
        return stages.answer(photo.content)

    warm_up(step, seconds)
    windows = run_windows(step, seconds)
    if not stages.searching:  # of nothing there is no timing
        windows = [[(*taken[:3], taken[4]) for taken in window] for window in windows]
    decode, preprocess, inference, *search, total = stage_timings(windows)
    return Query(
        megapixels=photo.megapixels,
        width=photo.width,
        height=photo.height,
        bytes=len(photo.content),
        decode=decode,
        preprocess=preprocess,
        inference=inference,
        search=search[0] if search else None,
        total=total,
    )
