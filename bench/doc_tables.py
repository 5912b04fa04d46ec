"""Tables between the markers of pages of docs/, and pictures, from bench/results: written, or checked.

    python bench/doc_tables.py [--check]

does all pages: those in `PAGES` of every *_tables.py, each of which does its own when it is run itself.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import RESULTS, machine_line

from edgesim.errors import EdgesimError

DOCS = Path(__file__).parent.parent / "docs"
# A table's name, or a picture's file -> the file in bench/results that it is made of, without .json, and what
# makes it.
Tables = Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]]
_PLACE = r"(<!-- table: {name} -->\n).*?(<!-- end -->)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A page with tables, and its pictures.

    Attributes:
        title: its file, as seen from docs/.
        script: the file in bench/ that names it.
        tables, pictures: see `Tables`.
    """

    title: str
    script: str
    tables: Tables
    pictures: Tables = dataclasses.field(default_factory=dict)


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


def measured_on(result: Mapping[str, Any]) -> str:
    """Return what a result was measured on, as a sentence."""
    return f"{machine_line(result['machine'])}."


def main(pages: Iterable[Page]) -> int:
    """Write tables and pictures of pages of docs/, or with --check say which differ."""
    status = 0
    try:
        for page in pages:
            file = DOCS / page.title
            status |= _write(file, filled(file.read_text(), page.tables, page.title), page.script)
            status |= draw(page.pictures, page.script)
    except EdgesimError as error:
        sys.exit(str(error))
    return status


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


def all_pages() -> list[Page]:
    """Return the pages that the modules *_tables.py beside this one name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*_tables.py"))
    return [page for name in names for page in getattr(importlib.import_module(name), "PAGES", ())]


if __name__ == "__main__":
    sys.exit(main(all_pages()))
