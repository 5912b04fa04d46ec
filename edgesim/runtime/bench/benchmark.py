"""All measurements of `edgesim bench`, one after the other, and the report of them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

from edgesim import __version__
from edgesim.bench_figures import EngineRow, Load, Memory, Query, Startup
from edgesim.bench_report import BenchReport, BundleFacts, FileSize, IndexFacts
from edgesim.bundle import Bundle
from edgesim.engines import ENGINES
from edgesim.errors import MissingDependencyError, UsageError
from edgesim.machine import read_machine
from edgesim.runtime.bench.board import Board
from edgesim.runtime.bench.children import ChildError
from edgesim.runtime.bench.energy import open_power_meter
from edgesim.runtime.bench.engine_rows import Contender, contenders, measure_engine, random_pixels
from edgesim.runtime.bench.load import run_load
from edgesim.runtime.bench.memory import measure_memory
from edgesim.runtime.bench.photos import PHOTO_SIZES, Photo, draw_photos
from edgesim.runtime.bench.queries import QueryStages, measure_query
from edgesim.runtime.bench.request import BenchRequest
from edgesim.runtime.bench.startup import measure_startup
from edgesim.runtime.bench.verdicts import judge_budgets
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.engines import choose_engine, load_backend
from edgesim.runtime.index import Index

# What the other commands give an inference.
_QUERY_THREADS = 1
_PACKAGES = ("numpy", "pillow", *(engine.package for engine in ENGINES.values()), "hnswlib")

# Called before and after what takes long: what it is, and the share of all that is done by then, 0 to 1.
Progress = Callable[[str, float], object]


def run_benchmark(request: BenchRequest, progress: Progress) -> BenchReport:
    """Measure everything on this machine.

    Raises:
        UsageError: not Linux, an unknown engine, or a float bundle of another encoder.
        MissingDependencyError: no engine that fits is installed, or the one in question does not work here.
        BundleError, IndexStoreError: a bundle or index cannot be used; see `open_bundle` and `Index.open`.
    """
    if not Path("/proc/self/status").exists():
        raise UsageError("edgesim bench reads memory from /proc, which this system lacks; run it on Linux")
    bundle = open_bundle(request.bundle)
    found = contenders(request.bundle, bundle)
    if request.float_bundle is not None:
        found += contenders(request.float_bundle, _float_bundle(request.float_bundle, bundle))
    engine = choose_engine(bundle, request.engine)
    with contextlib.ExitStack() as stack:
        index = None
        if request.index is not None:
            index = stack.enter_context(Index.open(request.index, bundle, read_only=True))
        try:
            return _Benchmark(request, bundle, engine, index, found, progress).report()
        except ChildError as error:
            raise MissingDependencyError(
                f"{engine} does not work here ({error}); see edgesim doctor, or pass another --engine"
            ) from error


def _float_bundle(name: str, bundle: Bundle) -> Bundle:
    other = open_bundle(name)
    if other.encoder_id != bundle.encoder_id:
        raise UsageError(
            f"--fp32 {name}: expected the encoder {bundle.title} unquantised, got {other.title}; "
            "export it from the same checkpoint"
        )
    return other


class _Benchmark:
    """One run of it; see `run_benchmark`."""

    def __init__(
        self,
        request: BenchRequest,
        bundle: Bundle,
        engine: str,
        index: Index | None,
        found: Sequence[Contender],
        progress: Progress,
    ) -> None:
        self._request, self._bundle, self._engine, self._index = request, bundle, engine, index
        self._contenders, self._progress = found, progress
        self._board = Board()
        # Of the figures beside the rows: queries with each photo, memory, burst.
        figures = len(found) * len(request.threads) + len(PHOTO_SIZES) + 2
        self._planned = request.seconds * figures + request.sustained
        self._passed = 0.0

    def report(self) -> BenchReport:
        request, machine = self._request, read_machine()
        # First, in processes of their own: an engine that was built for another CPU would end this one.
        startup = self._startup()
        photos = draw_photos()
        queries, memory = self._queries(photos), self._memory(photos[-1])
        rows = self._rows()
        report = BenchReport(
            edgesim=__version__,
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            machine=machine,
            governor=self._board.governor(),
            packages=_package_versions(),
            bundle=_bundle_facts(self._bundle),
            index=_index_facts(self._index),
            profile=None if request.profile is None else request.profile.name,
            engine=self._engine,
            threads=_QUERY_THREADS,
            seconds=request.seconds,
            startup=startup,
            queries=queries,
            engines=tuple(row for _, row in rows),
            memory=memory,
            burst=self._load("burst", rows, request.seconds),
            sustained=self._load("sustained", rows, request.sustained),
            verdicts=(),
        )
        if request.profile is None:
            return report
        return dataclasses.replace(report, verdicts=judge_budgets(request.profile, report))

    def _startup(self) -> Startup:
        self._begin("start of a process")
        return measure_startup(self._request.bundle, self._engine, _QUERY_THREADS)

    def _queries(self, photos: Sequence[Photo]) -> tuple[Query, ...]:
        stages = QueryStages(self._bundle, self._engine, _QUERY_THREADS, self._index)
        return tuple(self._query(stages, photo) for photo in photos)

    def _query(self, stages: QueryStages, photo: Photo) -> Query:
        name = f"queries, {photo.megapixels:g} megapixels"
        self._begin(name)
        query = measure_query(stages, photo, self._request.seconds)
        self._end(name, self._request.seconds)
        return query

    def _memory(self, photo: Photo) -> Memory:
        self._begin("memory")
        memory = measure_memory(
            self._request.bundle,
            self._engine,
            _QUERY_THREADS,
            self._request.index,
            photo,
            self._request.seconds,
        )
        self._end("memory", self._request.seconds)
        return memory

    def _rows(self) -> list[tuple[Contender, EngineRow]]:
        """Return the rows and what they are of; the one with the lowest median is marked as the best."""
        rows: list[tuple[Contender, EngineRow]] = []
        for contender in self._contenders:
            self._begin(contender.engine)
            measured = measure_engine(contender, self._request.threads, self._request.seconds)
            rows += [(contender, row) for row in measured]
            self._end(contender.engine, self._request.seconds * len(self._request.threads))
        medians = [row.inference.p50_ms for _, row in rows if row.inference is not None]
        return [
            (
                contender,
                dataclasses.replace(
                    row, best=row.inference is not None and row.inference.p50_ms == min(medians)
                ),
            )
            for contender, row in rows
        ]

    def _load(self, kind: str, rows: list[tuple[Contender, EngineRow]], seconds: float) -> Load | None:
        best = next(((contender, row) for contender, row in rows if row.best), None)
        if best is None or not seconds:
            return None
        contender, row = best
        backend = load_backend(contender.bundle, row.engine, row.threads)
        images = backend.prepare(random_pixels(contender.bundle), contender.bundle.spec)
        name = f"{kind} load"
        self._begin(name)
        return run_load(
            kind,
            row,
            lambda: backend.infer(images),
            seconds,
            self._board,
            open_power_meter(self._board),
            lambda passed: self._end(name, passed),
        )

    def _begin(self, name: str) -> None:
        self._progress(name, self._passed / self._planned)

    def _end(self, name: str, seconds: float) -> None:
        self._passed += seconds
        self._progress(name, self._passed / self._planned)


def _package_versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _bundle_facts(bundle: Bundle) -> BundleFacts:
    return BundleFacts(
        name=bundle.spec.name,
        encoder_id=bundle.encoder_id,
        input_size=bundle.spec.input_size,
        embedding_dim=bundle.spec.embedding_dim,
        files=tuple(
            FileSize(name=name, bytes=(bundle.folder / name).stat().st_size) for name in bundle.files
        ),
    )


def _index_facts(index: Index | None) -> IndexFacts | None:
    if index is None:
        return None
    return IndexFacts(entries=len(index), search=str(index.stats()["search"]))
