"""Tables in pages of docs/, between markers, made of files in bench/results: written there, or checked."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import RESULTS

DOCS = Path(__file__).parent.parent / "docs"
# A table's name -> the file in bench/results that it is made of, without .json, and what makes it.
Tables = Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]]
_PLACE = r"(<!-- table: {name} -->\n).*?(<!-- end -->)"


def filled(page: str, tables: Tables, title: str, results: Path = RESULTS) -> str:
    """Return the page with every table as the results have it; one without results says so.

    Raises `ValueError` for a table without a place in the page; `title` is what the message calls the page.
    """
    for name, (source, table) in tables.items():
        place = re.compile(_PLACE.format(name=re.escape(name)), re.DOTALL)
        if not place.search(page):
            raise ValueError(f"{title} has no place for the table {name}")
        path = results / f"{source}.json"
        text = table(json.loads(path.read_text())) if path.exists() else "Not measured yet."
        page = place.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)  # type: ignore[misc]
    return page


def main(title: str, tables: Tables, script: str) -> int:
    """Write the tables into the page of docs/ of that name, or with --check say whether they differ."""
    page = DOCS / title
    before = page.read_text()
    after = filled(before, tables, title)
    if "--check" in sys.argv[1:]:
        if before != after:
            print(f"{title} differs from bench/results; run: python bench/{script}", file=sys.stderr)
        return int(before != after)
    page.write_text(after)
    return 0
