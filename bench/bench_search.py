"""Exact search and HNSW by the size of the index, where they cross, and what a filter costs.

    python bench/bench_search.py [--folder DIR] [--sizes N ...]

Vectors of 128 numbers, drawn and seeded in 500 clusters; queries are entries with noise, at a cosine of about
0.8. Each size is searched by `Index.search`, both ways in turn, k = 10; a first search also loads vectors or
graph. Filters select 1, 10 and 50 % of the entries. The result goes to bench/results/search.json, and as
tables to stdout.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import describe_machine, machine_line, markdown_table, milliseconds, write_result
from search.edgesim_index import ALWAYS, NEVER, new_entry
from search.vectors import K, Vectors, draw

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.runtime.index import Index

SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
ROUNDS, LOADS = 5, 5
FILTERS = {"none": None, "1 %": "hundredth=0", "10 %": "tenth=0", "50 %": "half=0"}


def make_index(folder: Path, bundle: Bundle, vectors: Vectors) -> float:
    """Make an index with a graph, whatever its size; return the seconds that the graph took."""
    with Index.create(folder, bundle, exact_limit=NEVER) as index:
        index.add([new_entry(row, vector, _labels(row)) for row, vector in enumerate(vectors)])
        start = time.perf_counter()
        index.refresh_graph()
        return time.perf_counter() - start


def _labels(number: int) -> dict[str, str]:
    return {"hundredth": str(number % 100), "tenth": str(number % 10), "half": str(number % 2)}


def first_search(folder: Path, limit: int, query: Vectors) -> float:
    """Return the milliseconds from opening an index to the first answer."""

    def search() -> None:
        with Index.open(folder, read_only=True, exact_limit=limit) as index:
            index.search(query, K)

    return milliseconds(search)


def measure(folder: Path, queries: Vectors) -> dict[str, Any]:
    """Return the medians of both searches in milliseconds, and how many of the nearest HNSW finds."""
    (folder / "graph.json").rename(folder / "graph.aside")
    exact = Index.open(folder, read_only=True, exact_limit=ALWAYS)
    answers = [{match.path for match in exact.search(query, K)} for query in queries]
    first_exact = [first_search(folder, ALWAYS, queries[0]) for _ in range(LOADS)]
    (folder / "graph.aside").rename(folder / "graph.json")
    graph = Index.open(folder, read_only=True, exact_limit=NEVER)
    found = [{match.path for match in graph.search(query, K)} for query in queries]
    first_graph = [first_search(folder, NEVER, queries[0]) for _ in range(LOADS)]
    times: dict[str, list[float]] = {"exact": [], "hnsw": []}
    for _ in range(ROUNDS):
        for query in queries:
            for name, index in (("exact", exact), ("hnsw", graph)):
                times[name].append(milliseconds(lambda index=index, query=query: index.search(query, K)))  # type: ignore[misc]
    exact.close()
    graph.close()
    return {
        "exact ms": statistics.median(times["exact"]),
        "hnsw ms": statistics.median(times["hnsw"]),
        "first exact ms": statistics.median(first_exact),
        "first hnsw ms": statistics.median(first_graph),
        "recall@10": sum(len(a & b) for a, b in zip(answers, found, strict=True)) / (K * len(queries)),
    }


def measure_filters(folder: Path, queries: Vectors, vectors: Vectors) -> list[dict[str, Any]]:
    """Return, by filter, the milliseconds of the first search and the median of later ones, and recall."""
    numbers, rows = np.arange(len(vectors)), []
    step = {"1 %": 100, "10 %": 10, "50 %": 2, "none": 1}
    for name, where in FILTERS.items():
        with Index.open(folder, read_only=True) as index:
            first = milliseconds(lambda index=index, where=where: index.search(queries[0], K, where))  # type: ignore[misc]
            times, hits = [], 0
            for query in queries:
                start = time.perf_counter()
                matches = index.search(query, K, where)
                times.append(1e3 * (time.perf_counter() - start))
                some = numbers[:: step[name]]
                best = some[np.argsort(-(vectors[some] @ query))[:K]]
                hits += len(set(best.tolist()) & {match.entry_id - 1 for match in matches})
        row = {"filter": name, "first ms": first, "ms": statistics.median(times)}
        rows.append({**row, "recall@10": hits / (K * len(queries))})
    return rows


def crossing(rows: list[dict[str, Any]], exact: str, hnsw: str) -> str:
    """Return between which sizes the graph becomes faster than an exact search."""
    slower = [row["entries"] for row in rows if row[exact] <= row[hnsw]]
    faster = [row["entries"] for row in rows if row["entries"] > max(slower, default=0)]
    return f"above {max(slower, default=0)}" + (f", from {min(faster)} at the latest" if faster else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    args = parser.parse_args()
    bundle = Bundle.load(bundle_folder("copy"))
    rows: list[dict[str, Any]] = []
    filters: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=args.folder) as work:
        for size in args.sizes:
            vectors, queries = draw(size)
            folder = Path(work) / str(size)
            seconds = make_index(folder, bundle, vectors)
            rows.append({"entries": size, "graph built s": seconds, **measure(folder, queries)})
            if size == max(args.sizes):
                filters = measure_filters(folder, queries, vectors)
    crossings = {
        "one more search": crossing(rows, "exact ms", "hnsw ms"),
        "the first search": crossing(rows, "first exact ms", "first hnsw ms"),
    }
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "sizes": rows,
        "crossing": crossings,
        "filters": filters,
    }
    write_result("search", result)
    print(machine_line(result["machine"]))
    for table in (rows, filters):
        print(markdown_table(list(table[0]), [[_cell(value) for value in row.values()] for row in table]))
    for what, where in crossings.items():
        print(f"HNSW is faster for {what}: {where}")


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
