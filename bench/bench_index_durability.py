"""What durability and checksums cost an index: bytes written, time of opening, by the size of a page.

    python bench/bench_index_durability.py [--folder DIR]

1,000 commits of one entry with two labels each, as `edgesim index add` of single photos makes them; then an
index of 10,000 and one of 100,000 entries, opened and searched exactly once. Vectors have 128 numbers. DIR
should lie on a disk; what is opened lies in the temporary folder, and in the page cache. The result goes to
bench/results/index_durability.json, and as tables to stdout.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from harness import describe_machine, machine_line, markdown_table, write_result

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.metrics import l2_normalise
from edgesim.runtime import database, reader
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.index import Index

ADDS, QUERIES, LOADS = 1_000, 10_000, 7
SIZES = (10_000, 100_000)
PAGES = (512, 1024, 2048, 4096)


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
            patch = mock.patch.object(reader.EntryReader, "_compare_vectors", return_value=None)
            with patch if blind else mock.MagicMock():
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
    }


def report(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    adds = [
        (str(page), *(f"{facts[name]:.1f}" for name in ("passed MB", "stored MB", "milliseconds an add")))
        for page, facts in result["adds"].items()
    ]
    opening = [
        (*name.split(", "), *(f"{facts[key]:.1f}" for key in ("compared", "not compared", "paths", "MB")))
        for name, facts in result["opening"].items()
    ]
    return "\n\n".join(
        (
            machine_line(result["machine"]),
            markdown_table(("page, bytes", f"{ADDS} adds write, MB", "stored, MB", "ms an add"), adds),
            f"{QUERIES} queries write {result['query bytes']} bytes.",
            markdown_table(
                ("entries", "page, bytes", "open and search, ms", "without checksums", "paths, ms", "MB"),
                opening,
            ),
        )
    )


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
