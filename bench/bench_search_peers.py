"""Search in edgesim beside hnswlib, USearch, Faiss and sqlite-vec, from 1,000 to 1,000,000 entries.

    python bench/bench_search_peers.py [--sizes N ...] [--libraries NAME ...] [--folder DIR] [--run ID]
        [--no-ratios]

Latency, recall, memory, build and load time. Needs `pip install usearch faiss-cpu sqlite-vec` beside
edgesim[hnsw], and a Python whose SQLite loads extensions. Vectors of 128 numbers as in bench_search.py, 200
queries, k = 10. Each library builds its index of each size in a process of its own, and answers in another
one, with one thread; bind this program to an idle core. HNSW has edgesim's default parameters. Then
come the ratios that edgesim is to keep to, side by side in one process (search/ratios.py).

The result goes to bench/results/search_peers.json. Rows and ratios that it has of the same run are skipped,
so that an interrupted run goes on; another ID begins anew.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, describe_machine, write_result
from search.child import INDEX
from search.library import LIBRARIES
from search.ratios import measure_ratios
from search.rows import missing, read_run, with_row
from search.vectors import draw, nearest_rows

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUERIES, LOADS = 200, 5
RESULT = "search_peers"


def prepare(folder: Path, size: int) -> None:
    """Write vectors, queries and the rows of the true nearest where the children find them."""
    vectors, queries = draw(size, QUERIES)
    np.save(folder / "nearest.npy", nearest_rows(vectors, queries))
    np.save(folder / "queries.npy", queries)
    np.save(folder / "vectors.npy", vectors)


def run_child(action: str, library: str, folder: Path) -> dict[str, Any]:
    """Return what a process of its own has measured; raises `RuntimeError` with its output if it fails."""
    command = [sys.executable, "-m", "search.child", action, library, str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}: {done.stderr}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def measure(library: str, size: int, folder: Path) -> dict[str, Any]:
    """Return the row of one library at one size."""
    built = run_child("build", library, folder)
    loads = [run_child("load", library, folder)["load_ms"] for _ in range(LOADS)]
    answered = run_child("query", library, folder)
    shutil.rmtree(folder / INDEX)
    row = {"library": library, "entries": size, **built, "load_ms": statistics.median(loads), **answered}
    print("  ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--run", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    parser.add_argument("--no-ratios", action="store_true")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    result = read_run(RESULTS / f"{RESULT}.json", args.run)
    result["machine"], result["queries"] = describe_machine(), QUERIES
    prepared = 0
    with tempfile.TemporaryDirectory(dir=args.folder) as work:
        for size, library in missing(result["rows"], args.sizes, args.libraries):
            if size != prepared:
                prepare(Path(work), size)
                prepared = size
            row = measure(library, size, Path(work))
            result["rows"] = with_row(result["rows"], row, list(LIBRARIES))
            write_result(RESULT, result)
        if not args.no_ratios and not result["ratios"]:
            (Path(work) / "ratios").mkdir()
            result["ratios"] = measure_ratios(Path(work) / "ratios")
            write_result(RESULT, result)
    for name, ratio in result["ratios"].items():
        print(f"{name}: {ratio['value']:.3f}, {ratio['bound']}")


if __name__ == "__main__":
    main()
