"""What a process of its own measures of one library at one size; prints it as JSON.

    python -m search.child build|load|query LIBRARY FOLDER

FOLDER holds vectors.npy, queries.npy and nearest.npy, see `bench_search_peers.py`, and the library's index in
a folder index/.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgesim.runtime.bench.resident import peak_mib
from search.library import Library, load_library
from search.vectors import recall

INDEX = "index"
_WARM_UP, _ROUNDS, _SECONDS = 20, 5, 3.0


def build(library: Library, folder: Path) -> dict[str, Any]:
    """Return the seconds from vectors in memory to the index on the disk, and its bytes."""
    vectors = np.load(folder / "vectors.npy")
    (folder / INDEX).mkdir()
    start = time.perf_counter()
    library.build(vectors, folder / INDEX)
    seconds = time.perf_counter() - start
    return {"build_s": seconds, "bytes": sum(path.stat().st_size for path in (folder / INDEX).iterdir())}


def load(library: Library, folder: Path) -> dict[str, Any]:
    """Return the milliseconds from opening the index to the first answer."""
    query = np.load(folder / "queries.npy")[0]
    start = time.perf_counter()
    library.open(folder / INDEX)(query)
    return {"load_ms": 1e3 * (time.perf_counter() - start)}


def query(library: Library, folder: Path) -> dict[str, Any]:
    """Return the latencies of warm searches in milliseconds, their recall, and this process's peak memory.

    Rounds of all queries: five, or as many as begin within three seconds.
    """
    queries, nearest = np.load(folder / "queries.npy"), np.load(folder / "nearest.npy")
    search = library.open(folder / INDEX)
    for one in queries[:_WARM_UP]:
        search(one)
    times: list[float] = []
    for _ in range(_ROUNDS):
        found = []
        for one in queries:
            start = time.perf_counter()
            found.append(search(one))
            times.append(1e3 * (time.perf_counter() - start))
        if sum(times) > 1e3 * _SECONDS:
            break
    p50, p90 = np.percentile(times, [50, 90]).tolist()
    share = recall(np.stack(found), nearest)
    return {"p50_ms": p50, "p90_ms": p90, "recall": share, "peak_mib": peak_mib() or math.nan}


def main() -> None:
    action, name, folder = sys.argv[1:]
    measured = {"build": build, "load": load, "query": query}[action](load_library(name), Path(folder))
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
