"""Every engine that is installed, with the bundle's model file for it, on several numbers of threads."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgesim.bench_figures import EngineRow, Timing
from edgesim.bundle import Bundle
from edgesim.runtime.bench.children import ChildError, finish, start_python
from edgesim.runtime.bench.timing import run_windows, stage_timings, timed, warm_up
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.engines import available_engines, load_backend, model_format

_CODE = "import sys; from edgesim.runtime.bench.engine_rows import child; child(sys.argv[1:])"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """An engine and a bundle that it may run; `name` is what `open_bundle` takes."""

    name: str
    bundle: Bundle
    engine: str


def contenders(name: str, bundle: Bundle) -> list[Contender]:
    """Return the installed engines that a bundle, opened by `name`, has a model file for."""
    return [
        Contender(name=name, bundle=bundle, engine=engine)
        for engine in available_engines()
        if model_format(engine) in bundle.models
    ]


def precision(bundle: Bundle, engine: str) -> str:
    """Return what the model file for an engine computes in: `int8`, `float32`, `weights int8`..."""
    description = str(bundle.models[model_format(engine)]["quantisation"])
    mode, _, details = description.partition(":")
    if details:
        return details.split()[0] if mode == "static" else f"{mode} {details.split()[0]}"
    return "float32" if mode.startswith("none") else mode.split()[0]


def measure_engine(contender: Contender, threads: Sequence[int], seconds: float) -> list[EngineRow]:
    """Measure the inference of one engine in a process of its own.

    Args:
        contender: what to measure.
        threads: on each of these numbers of threads.
        seconds: how long each row is measured.

    Returns:
        A row for each number of threads, none of them `best`; or one that says why the engine failed.
    """
    failed = EngineRow(
        engine=contender.engine,
        version=None,
        precision=precision(contender.bundle, contender.engine),
        threads=threads[0],
        model_bytes=contender.bundle.model_path(model_format(contender.engine)).stat().st_size,
        load_ms=None,
        first_ms=None,
        warmup_ms=None,
        inference=None,
        problem=None,
        best=False,
    )
    numbers = ",".join(map(str, threads))
    process = start_python(_CODE, contender.name, contender.engine, numbers, str(seconds))
    try:
        measured = finish(process, seconds * len(threads))
    except ChildError as error:
        return [dataclasses.replace(failed, problem=str(error))]
    return [
        dataclasses.replace(failed, **{**row, "inference": Timing(**row["inference"])}) for row in measured
    ]


def child(arguments: list[str]) -> None:
    """Measure one engine in this process, and print the rows as JSON."""
    name, engine, threads, seconds = arguments
    bundle = open_bundle(name)
    print(json.dumps([_row(bundle, engine, int(number), float(seconds)) for number in threads.split(",")]))


def _row(bundle: Bundle, engine: str, threads: int, seconds: float) -> dict[str, object]:
    backend = load_backend(bundle, engine, threads)  # the first time this imports the engine
    images = backend.prepare(random_pixels(bundle), bundle.spec)
    load_ms = timed(lambda: load_backend(bundle, engine, threads))

    def step() -> tuple[float]:
        return (timed(lambda: backend.infer(images)),)

    warming = [milliseconds for (milliseconds,) in warm_up(step, seconds)]
    (inference,) = stage_timings(run_windows(step, seconds))
    return {
        "version": backend.version,
        "threads": threads,
        "load_ms": load_ms,
        "first_ms": warming[0],
        "warmup_ms": statistics.fmean(warming),
        "inference": dataclasses.asdict(inference),
    }


def random_pixels(bundle: Bundle) -> NDArray[np.uint8]:
    """Return an image (1, S, S, 3) of noise, of the size that the network takes."""
    size = bundle.spec.input_size
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
