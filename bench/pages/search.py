"""The tables of docs/index.md and docs/search-benchmarks.md, and the pictures of the latter.

From bench/results/search.json and search_peers.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charts.search import growth_chart, series
from harness import markdown_table

from pages.page import Page, Tables, measured_on

SOURCE, SIZES_SOURCE = "search_peers", "search"
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


def latency_chart(result: Mapping[str, Any]) -> str:
    """A search by the number of entries."""
    return growth_chart("p50_ms", "A search, median", "milliseconds", series(result["rows"], "p50_ms"))


def memory_chart(result: Mapping[str, Any]) -> str:
    """Peak memory by the number of entries."""
    title = "Peak memory of a process that searches"
    return growth_chart("peak_mib", title, "MiB", series(result["rows"], "peak_mib"))


INDEX_TABLES: Tables = {
    "filters": (SIZES_SOURCE, filters_table),
    "sizes": (SIZES_SOURCE, sizes_table),
    "searched on": (SIZES_SOURCE, measured_on),
}
TABLES: Tables = {
    "machine": (SOURCE, measured_on),
    "ratios": (SOURCE, ratios_table),
    "rows": (SOURCE, rows_table),
}
PICTURES: Tables = {
    "search-latency.svg": (SOURCE, latency_chart),
    "search-memory.svg": (SOURCE, memory_chart),
}

PAGES = [
    Page(title="index.md", tables=INDEX_TABLES),
    Page(title="search-benchmarks.md", tables=TABLES, pictures=PICTURES),
]
