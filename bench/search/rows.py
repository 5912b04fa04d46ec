"""The rows of an interrupted run: what has been measured in it is not measured again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read_run(path: Path, run: str) -> dict[str, Any]:
    """Return what a file of results holds of a run: all of it, or nothing if it is another one's."""
    if path.exists():
        result: dict[str, Any] = json.loads(path.read_text())
        if result["run"] == run:
            return result
    return {"run": run, "rows": [], "ratios": {}}


def missing(rows: Sequence[Row], sizes: Sequence[int], libraries: Sequence[str]) -> list[tuple[int, str]]:
    """Return the pairs of size and library that have no row, size by size."""
    there = {(row["entries"], row["library"]) for row in rows}
    return [(size, name) for size in sizes for name in libraries if (size, name) not in there]


def with_row(rows: Sequence[Row], row: Mapping[str, Any], libraries: Sequence[str]) -> list[Row]:
    """Return the rows with one more, by size and then in the order of the libraries."""
    return sorted([*rows, dict(row)], key=lambda one: (one["entries"], libraries.index(one["library"])))
