"""Another head for an index whose own is damaged, so that SQLite can read the rest.

The head of an SQLite file says where its tables begin (https://www.sqlite.org/fileformat2.html). As edgesim
makes them in the same order in every index, that is the same in all but those that had format 1.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from edgesim.runtime.database import ENTRIES_FILE, PAGE_SIZE, connect_to_write, transaction
from edgesim.runtime.schema import create_tables

# Where the first page has the number of pages, and then the first page and the number of those that are free.
_PAGE_COUNT = slice(28, 32)
_FREE_PAGES = slice(32, 40)


def copy_with_new_head(folder: Path, work: Path) -> Path:
    """Copy the entries of an index, give them the head of an intact one, and return the copy's folder.

    Args:
        folder: of the index, which is only read.
        work: an empty folder.
    """
    copy, pattern = work / "copy", work / "pattern"
    copy.mkdir()
    pattern.mkdir()
    path = Path(shutil.copyfile(folder / ENTRIES_FILE, copy / ENTRIES_FILE))
    pages = path.stat().st_size // PAGE_SIZE
    with path.open("r+b") as stream:
        for number, content in _head(pattern).items():
            if number == 1:
                changed = bytearray(content)
                changed[_PAGE_COUNT] = pages.to_bytes(4, "big")
                changed[_FREE_PAGES] = bytes(8)
                content = bytes(changed)
            stream.seek((number - 1) * PAGE_SIZE)
            stream.write(content)
        stream.truncate(pages * PAGE_SIZE)
    return copy


def _head(folder: Path) -> dict[int, bytes]:
    """Return the pages that describe the tables: number -> content, as an index made in `folder` has them."""
    with contextlib.closing(connect_to_write(folder, create=True)) as connection:
        with transaction(connection, "IMMEDIATE"):
            create_tables(connection, {})
        roots = {row[0] for row in connection.execute("SELECT rootpage FROM sqlite_master")}
    content = (folder / ENTRIES_FILE).read_bytes()
    # Made before anything was written into the tables, so all pages up to the last table's are in use.
    return {
        number: content[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        for number in range(1, max(roots) + 1)
        if number not in roots
    }
