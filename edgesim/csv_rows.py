"""Reading CSV files with a known header, so that every error names its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgesim.errors import InputError


def read_csv_rows(path: Path, header: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield where each row stands, as messages call it, and its fields; empty lines are passed over.

    Raises:
        InputError: the file cannot be read, is no CSV in UTF-8, begins with another header, or a row has
            more or fewer fields.
    """
    header = list(header)
    try:
        # Some programs put a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            first = next(reader, [])
            if first != header:
                raise InputError(
                    f"{path}, line 1: expected the header {','.join(header)}, got {','.join(first)!r}"
                )
            for row in reader:
                place = f"{path}, line {reader.line_num}"
                if row and len(row) != len(header):
                    raise InputError(f"{place}: expected {','.join(header)}, got {len(row)} fields")
                if row:
                    yield place, row
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file in UTF-8, but it cannot be read ({error})") from error
