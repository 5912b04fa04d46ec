"""The tables of docs/index.md and docs/search-benchmarks.md, and the pictures of the latter.

python bench/search_tables.py [--check]

From bench/results/search.json and search_peers.json; with --check they are compared with what is there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from doc_tables import DOCS, Tables, main
from harness import RESULTS, machine_line, markdown_table
from search.chart import growth_chart, series

SOURCE, SIZES_SOURCE = "search_peers", "search"
# File in docs/ -> title, unit, and the figure of a row.
PICTURES = {
    "search-latency.svg": ("A search, median", "milliseconds", "p50_ms"),
    "search-memory.svg": ("Peak memory of a process that searches", "MiB", "peak_mib"),
}
# What is compared -> what with.
OTHERS = {
    "HNSW lookup, ids and similarities": "hnswlib's call",
    "HNSW lookup, with paths and labels": "hnswlib's call",
    "opening": "hnswlib's loading, with a search",
    "rate of bulk loading": "hnswlib's building and saving",
    "filter of 1 %": "the search of all",
    "exact search, ids and similarities": "NumPy's product",
    "exact search, with paths and labels": "NumPy's product",
}

# Filter -> how the entries that it selects are searched.
HOW = {
    "none": "graph",
    "1 %": "1,000 compared",
    "10 %": "10,000 compared",
    "50 %": "graph, twice as many and more",
}


def machine(result: Mapping[str, Any]) -> str:
    """Where it was measured."""
    return f"{machine_line(result['machine'])}."


def rows_table(result: Mapping[str, Any]) -> str:
    """Every library at every size."""
    header = [
        "entries",
        "library",
        "median, ms",
        "90 %, ms",
        "recall@10",
        "peak, MiB",
        "file, MB",
        "building, s",
        "opening, ms",
    ]
    rows = [
        [
            f"{row['entries']:,}",
            row["library"],
            f"{row['p50_ms']:.3f}",
            f"{row['p90_ms']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['peak_mib']:.0f}",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['build_s']:.2f}",
            f"{row['load_ms']:.1f}",
        ]
        for row in result["rows"]
    ]
    return markdown_table(header, rows)


def ratios_table(result: Mapping[str, Any]) -> str:
    """The ratios beside their bounds."""
    header = ["edgesim's", "beside", "ratio", "bound", "edgesim", "the other"]
    rows = [
        [
            name,
            OTHERS.get(name, "all cosines"),
            f"{of['value']:.3f}",
            of["bound"],
            _ours(of),
            duration(of["others_ms"]) if "others_ms" in of else "",
        ]
        for name, of in result["ratios"].items()
    ]
    return markdown_table(header, rows) if rows else "Not measured yet."


def _ours(of: Mapping[str, Any]) -> str:
    if "ours_ms" not in of:
        return ""
    return duration(of["ours_ms"]) + (f", the first {duration(of['first_ms'])}" if "first_ms" in of else "")


def duration(milliseconds: float) -> str:
    """Return a time with three digits that count."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds:.3g} ms"


def sizes_table(result: Mapping[str, Any]) -> str:
    """Exact search and HNSW by the number of entries."""
    header = [
        "entries",
        "exact",
        "HNSW",
        "first exact",
        "first HNSW",
        "building the graph",
        "recall@10 of HNSW",
    ]
    rows = [
        [
            f"{of['entries']:,}",
            *(duration(of[name]) for name in ("exact ms", "hnsw ms", "first exact ms", "first hnsw ms")),
            duration(1000 * of["graph built s"]),
            f"{of['recall@10']:.3f}",
        ]
        for of in result["sizes"]
    ]
    return markdown_table(header, rows)


def filters_table(result: Mapping[str, Any]) -> str:
    """Searches with a filter by the share of the entries that it selects."""
    header = ["filter selects", "how", "a search", "the first one", "recall@10"]
    rows = [
        [
            of["filter"],
            HOW[of["filter"]],
            duration(of["ms"]),
            duration(of["first ms"]),
            f"{of['recall@10']:.3f}",
        ]
        for of in result["filters"]
    ]
    return markdown_table(header, rows)


INDEX_TABLES: Tables = {
    "filters": (SIZES_SOURCE, filters_table),
    "sizes": (SIZES_SOURCE, sizes_table),
    "searched on": (SIZES_SOURCE, machine),
}
TABLES: Tables = {
    "machine": (SOURCE, machine),
    "ratios": (SOURCE, ratios_table),
    "rows": (SOURCE, rows_table),
}


def draw_pictures() -> int:
    """Write the pictures, or with --check say whether they differ."""
    source, status = RESULTS / f"{SOURCE}.json", 0
    rows = json.loads(source.read_text())["rows"] if source.exists() else []
    for file, (title, unit, figure) in PICTURES.items():
        picture = growth_chart(figure, title, unit, series(rows, figure)) if rows else ""
        before = (DOCS / file).read_text() if (DOCS / file).exists() else ""
        if "--check" not in sys.argv[1:]:
            (DOCS / file).write_text(picture)
        elif before != picture:
            print(f"{file} differs from bench/results; run: python bench/search_tables.py", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    script = "search_tables.py"
    pages = main("index.md", INDEX_TABLES, script) | main("search-benchmarks.md", TABLES, script)
    sys.exit(pages | draw_pictures())
