"""The memory of a process that answers queries, watched from outside while it does."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from edgesim.bench_figures import Memory
from edgesim.runtime.bench.children import finish, start_python
from edgesim.runtime.bench.photos import Photo
from edgesim.runtime.bench.resident import resident_mib

_CODE = "import sys; from edgesim.runtime.bench.query_process import main; main(sys.argv[1:])"
# Between two looks at it: decoding a large photo takes longer.
_INTERVAL_S = 0.02
# A report keeps so many; where there were more, of each stretch the highest.
_KEPT_READINGS = 300


def measure_memory(
    bundle: str, engine: str, threads: int, index: Path | None, photo: Photo, seconds: float
) -> Memory:
    """Answer queries in a process of its own for some seconds, and watch its memory.

    Args:
        bundle: as `edgesim.runtime.embedder.open_bundle` takes it.
        engine, threads, index: of the queries.
        photo: the query.
        seconds: how long.

    Raises:
        ChildError: the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="edgesim-bench-") as folder:
        path = Path(folder) / "photo.jpg"
        path.write_bytes(photo.content)
        where = "" if index is None else str(index)
        process = start_python(_CODE, bundle, engine, str(threads), where, str(path), str(seconds))
        try:
            readings = _watch(process)
        except BaseException:  # Ctrl-C
            process.kill()
            raise
        peak: float = finish(process, seconds)
    second_half = [mib for at, mib in readings if at >= readings[-1][0] / 2]
    kept = _thin_out(readings)
    return Memory(
        peak_mib=peak,
        steady_mib=statistics.median(second_half),
        seconds=tuple(round(at, 3) for at, _ in kept),
        mib=tuple(round(mib, 2) for _, mib in kept),
    )


def _watch(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    start = time.perf_counter()
    readings: list[tuple[float, float]] = []
    while process.poll() is None:
        time.sleep(_INTERVAL_S)
        mib = resident_mib(process.pid)
        if mib is not None:
            readings.append((time.perf_counter() - start, mib))
    return readings


def _thin_out(readings: list[tuple[float, float]]) -> list[tuple[float, float]]:
    stretch = -(-len(readings) // _KEPT_READINGS)
    return [
        max(readings[first : first + stretch], key=lambda reading: reading[1])
        for first in range(0, len(readings), stretch)
    ]
