"""Tables between the markers of pages of docs/, and pictures, from bench/results: written, or checked."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import RESULTS

DOCS = Path(__file__).parent.parent / "docs"
# A table's name, or a picture's file -> the file in bench/results that it is made of, without .json, and what
# makes it.
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


def main(title: str, tables: Tables, script: str, pictures: Tables | None = None) -> int:
    """Write tables and pictures of a page of docs/, or with --check say whether they differ."""
    page = DOCS / title
    status = _write(page, filled(page.read_text(), tables, title), script)
    return status | draw(pictures or {}, script)


def draw(pictures: Tables, script: str) -> int:
    """Write pictures, or with --check say whether they differ; one without results is left alone."""
    status = 0
    for name, (source, picture) in pictures.items():
        results = RESULTS / f"{source}.json"
        if results.exists():
            status |= _write(DOCS / name, picture(json.loads(results.read_text())), script)
    return status


def _write(file: Path, content: str, script: str) -> int:
    """Write a file, or with --check return 1, and say so, if it has another content."""
    if "--check" not in sys.argv[1:]:
        file.write_text(content)
    elif not file.exists() or file.read_text() != content:
        print(f"{file.name} differs from bench/results; run: python bench/{script}", file=sys.stderr)
        return 1
    return 0
