"""What durability and checksums cost an index: bytes written, time of opening, by the size of a page.

    python bench/bench_index_durability.py [--folder DIR]

1,000 commits of one entry with two labels each, as `edgesim index add` of single photos makes them; then an
index of 10,000 and one of 100,000 entries, opened and searched exactly once. Then large indexes, to which
single entries are added until their search graph is written anew; and the searches, k = 10, just before that
and just after. Vectors have 128 numbers. DIR should lie on a disk; what else is opened lies in the temporary
folder, and in the page cache. The result goes to bench/results/index_durability.json, and as tables to
stdout.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from harness import describe_machine, machine_line, markdown_table, write_result
from numpy.typing import NDArray

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.metrics import l2_normalise
from edgesim.runtime import database
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.graph import GRAPH_FILE
from edgesim.runtime.index import EXACT_LIMIT, LAG_SHARE, Index
from edgesim.runtime.reader import EntryReader

ADDS, QUERIES, LOADS = 1_000, 10_000, 7
SIZES = (10_000, 100_000)
PAGES = (512, 1024, 2048, 4096)
GRAPH_SIZES, SEARCHES = (20_000, 100_000), 500


def new_entries(count: int, dim: int) -> list[NewEntry]:
    """Return entries with the paths and labels of a camera's photos and drawn vectors (seeded)."""
    rng = np.random.default_rng(0)
    vectors = l2_normalise(rng.standard_normal((count, dim)).astype(np.float32))
    return [
        NewEntry(
            path=f"/home/pi/photos/line-3/2026-11-24/img_{number:06d}.jpg",
            sha256=f"{number:064x}",
            size=400_000 + number,
            mtime_ns=10**18 + number,
            labels={"line": "3", "verdict": "ok"},
            vector=vector,
        )
        for number, vector in enumerate(vectors)
    ]


def written() -> tuple[int, int]:
    """Return how many bytes this process has passed to the kernel, and how many it caused to be stored."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["wchar"]), int(facts["write_bytes"])


def measure_adds(folder: Path, bundle: Bundle, page: int) -> dict[str, float]:
    """Return the megabytes that single adds pass to the kernel and cause to be stored, and their time."""
    entries = new_entries(ADDS, bundle.spec.embedding_dim)
    with mock.patch.object(database, "PAGE_SIZE", page), Index.create(folder, bundle) as index:
        before, start = written(), time.perf_counter()
        for entry in entries:
            index.add([entry])
        seconds = time.perf_counter() - start
        passed, stored = (after - now for after, now in zip(written(), before, strict=True))
    return {"passed MB": passed / 1e6, "stored MB": stored / 1e6, "milliseconds an add": 1e3 * seconds / ADDS}


def measure_queries(folder: Path, bundle: Bundle) -> int:
    """Return how many bytes queries pass to the kernel."""
    queries = [entry.vector for entry in new_entries(QUERIES, bundle.spec.embedding_dim)]
    with Index.open(folder, bundle, read_only=True) as index:
        before = written()[0]
        for query in queries:
            if query is not None:
                index.search(query, 5)
        return written()[0] - before


@contextlib.contextmanager
def without_checksums() -> Iterator[None]:
    """Let vectors be read, but not compared with their checksums."""

    def vectors(self: EntryReader, after: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return self.vectors_since(after + 1)[:2]

    with (
        mock.patch.object(EntryReader, "_sum", return_value=0),
        mock.patch.object(EntryReader, "vectors", vectors),
    ):
        yield


def measure_opening(folder: Path, bundle: Bundle, page: int, count: int) -> dict[str, float]:
    """Return the milliseconds of opening and one exact search, with checksums compared and without."""
    entries = new_entries(count, bundle.spec.embedding_dim)
    query = entries[0].vector
    with mock.patch.object(database, "PAGE_SIZE", page), Index.create(folder, bundle) as index:
        index.add(entries)
    seconds: dict[str, list[float]] = {"compared": [], "not compared": [], "paths": []}
    for _ in range(LOADS):
        for name in ("compared", "not compared"):
            blind = name == "not compared"
            with without_checksums() if blind else contextlib.nullcontext():
                start = time.perf_counter()
                with Index.open(folder, bundle, read_only=True, exact_limit=count) as index:
                    if query is not None:
                        index.search(query, 5)
                seconds[name].append(time.perf_counter() - start)
        with Index.open(folder, bundle, read_only=True) as index:
            start = time.perf_counter()
            index.find("/none.jpg")
            seconds["paths"].append(time.perf_counter() - start)
    size = (folder / database.ENTRIES_FILE).stat().st_size
    shutil.rmtree(folder)
    return {**{name: 1e3 * statistics.median(values) for name, values in seconds.items()}, "MB": size / 1e6}


def measure_graph(folder: Path, bundle: Bundle, count: int) -> dict[str, float]:
    """Return what single adds to an index with a graph write, and how it is searched before and after."""
    dim = bundle.spec.embedding_dim
    entries = new_entries(count + count // 5, dim)
    queries = [entry.vector for entry in entries[:SEARCHES] if entry.vector is not None]
    with Index.create(folder, bundle) as index:
        index.add(entries[:count])
        index.refresh_graph()
        graph = folder / GRAPH_FILE
        made, start, adds, thousand = graph.stat().st_mtime_ns, written(), 0, (0, 0)
        behind = (0.0, 0.0)
        for adds, entry in enumerate(entries[count:], 1):
            index.add([entry])
            if not behind[0] and adds + 1 > min(LAG_SHARE * (count + adds + 1), EXACT_LIMIT):
                behind = measure_search(folder, queries)
            index.refresh_graph()
            if adds == ADDS:
                thousand = written()
            if graph.stat().st_mtime_ns != made:
                break
        end = written()
    fresh = measure_search(folder, queries)
    result = {
        "graph MB": graph.stat().st_size / 1e6,
        f"{ADDS} adds passed MB": (thousand[0] - start[0]) / 1e6,
        f"{ADDS} adds stored MB": (thousand[1] - start[1]) / 1e6,
        "adds until the graph is written": adds,
        "passed MB until then": (end[0] - start[0]) / 1e6,
        "stored MB until then": (end[1] - start[1]) / 1e6,
        "first search behind ms": behind[0],
        "first search fresh ms": fresh[0],
        "search behind ms": behind[1],
        "search fresh ms": fresh[1],
    }
    shutil.rmtree(folder)
    return result


def measure_search(folder: Path, queries: list[NDArray[np.float32]]) -> tuple[float, float]:
    """Return the medians in milliseconds of opening with a first search, and of later ones."""
    first, later = [], []
    for _ in range(LOADS):
        start = time.perf_counter()
        with Index.open(folder, read_only=True) as index:
            index.search(queries[0], 10)
            first.append(1e3 * (time.perf_counter() - start))
            for query in queries:
                start = time.perf_counter()
                index.search(query, 10)
                later.append(1e3 * (time.perf_counter() - start))
    return statistics.median(first), statistics.median(later)


def measure(disk: Path, parent: Path) -> dict[str, Any]:
    bundle = Bundle.load(bundle_folder("copy"))
    adds = {page: measure_adds(disk / f"adds-{page}", bundle, page) for page in PAGES}
    query_bytes = measure_queries(disk / f"adds-{database.PAGE_SIZE}", bundle)
    opening = {
        f"{count}, {page}": measure_opening(parent / f"open-{count}-{page}", bundle, page, count)
        for count in SIZES
        for page in PAGES
    }
    return {
        "machine": describe_machine(),
        "page_size": database.PAGE_SIZE,
        "adds": adds,
        "query bytes": query_bytes,
        "opening": opening,
        "graphs": {
            str(count): measure_graph(disk / f"graph-{count}", bundle, count) for count in GRAPH_SIZES
        },
    }


def adds_table(result: Mapping[str, Any]) -> str:
    """Return what single adds write, by the size of a page, as Markdown."""
    rows = [
        (page, f"{facts['passed MB']:.1f} MB", f"{facts['stored MB']:.1f} MB")
        for page, facts in result["adds"].items()
    ]
    return markdown_table(("page, bytes", f"{ADDS:,} adds write", "stored in blocks of 4 KiB"), rows)


def opening_table(result: Mapping[str, Any]) -> str:
    """Return the times of opening, as Markdown."""
    names = ("compared", "not compared", "paths")
    rows = []
    for name, facts in result["opening"].items():
        count, page = name.split(", ")
        times = (f"{facts[name]:.0f} ms" for name in names)
        rows.append((f"{int(count):,}", page, *times, f"{facts['MB']:.1f} MB"))
    header = ("entries", "page, bytes", "open and search exactly", "without comparing checksums")
    return markdown_table((*header, "compare the paths", "file"), rows)


def graphs_table(result: Mapping[str, Any]) -> str:
    """Return what single adds to indexes with a graph write, and how these are searched, as Markdown."""
    rows = [
        (
            f"{int(count):,}",
            f"{facts['graph MB']:.1f} MB",
            f"{facts[f'{ADDS} adds passed MB']:.1f} MB",
            f"{facts['adds until the graph is written']:,}",
            f"{facts['passed MB until then']:.0f} MB",
            *(
                f"{facts[f'{search} behind ms']:.{digits}f} ms; {facts[f'{search} fresh ms']:.{digits}f} ms"
                for search, digits in (("first search", 0), ("search", 2))
            ),
        )
        for count, facts in result["graphs"].items()
    ]
    header = ("entries", "graph", f"{ADDS:,} adds write", "adds until the graph is written", "that writes")
    return markdown_table((*header, "first search: before; after", "a search: before; after"), rows)


def report(result: Mapping[str, Any]) -> str:
    """Return the result as Markdown."""
    queries = f"{QUERIES:,} queries write {result['query bytes']} bytes."
    tables = (adds_table(result), queries, opening_table(result), graphs_table(result))
    return "\n\n".join((machine_line(result["machine"]), *tables))


def main() -> None:
    parser = argparse.ArgumentParser(description="What durability and checksums cost an index.")
    parser.add_argument("--folder", type=Path, help="where the adds go (default: the temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as disk, tempfile.TemporaryDirectory() as folder:
        result = measure(Path(disk), Path(folder))
    write_result("index_durability", result)
    print(report(result))


if __name__ == "__main__":
    main()
