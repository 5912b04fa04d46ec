"""Tables between the markers of pages of docs/ and of README.md, and pictures, from bench/results.

    python bench/doc_tables.py [PAGE ...] [--check]

writes those of all pages that the modules in pages/ name, or of the pages named, such as encoders.md; with
--check it says which differ.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import RESULTS
from pages.page import Page, Tables

from edgesim.errors import EdgesimError, UsageError

BENCH = Path(__file__).parent
DOCS = BENCH.parent / "docs"
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


def write(page: Page, *, check: bool) -> int:
    """Write a page's tables and pictures, or return 1, and say so, if they differ."""
    file = DOCS / page.title
    status = _write(file, filled(file.read_text(), page.tables, page.title), check)
    return status | draw(page.pictures, check=check)


def draw(pictures: Tables, *, check: bool) -> int:
    """Write pictures, or return 1, and say so, if they differ; one without results is left alone."""
    status = 0
    for name, (source, picture) in pictures.items():
        results = RESULTS / f"{source}.json"
        if results.exists():
            status |= _write(DOCS / name, picture(json.loads(results.read_text())), check)
    return status


def _write(file: Path, content: str, check: bool) -> int:
    if not check:
        file.write_text(content)
    elif not file.exists() or file.read_text() != content:
        print(f"{file.name} differs from bench/results; run: python bench/doc_tables.py", file=sys.stderr)
        return 1
    return 0


def all_pages() -> list[Page]:
    """Return the pages that the modules in pages/ name."""
    names = sorted(path.stem for path in (BENCH / "pages").glob("*.py"))
    return [page for name in names for page in getattr(importlib.import_module(f"pages.{name}"), "PAGES", ())]


def chosen(names: Sequence[str], pages: Iterable[Page]) -> list[Page]:
    """Return the pages of these file names, or all. Raises `UsageError` for a name that is none of them."""
    by_name = {Path(page.title).name: page for page in pages}
    for name in names:
        if name not in by_name:
            raise UsageError(f"expected a page with tables, one of {', '.join(sorted(by_name))}; got {name}")
    return [by_name[name] for name in names or by_name]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="README.md, or the name of a page of docs/")
    parser.add_argument("--check", action="store_true", help="write nothing; say which differ")
    args = parser.parse_args(arguments)
    status = 0
    try:
        for page in chosen(args.pages, all_pages()):
            status |= write(page, check=args.check)
    except EdgesimError as error:
        sys.exit(str(error))
    return status


if __name__ == "__main__":
    sys.exit(main())
