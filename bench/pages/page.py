"""What a page is, and what several of them say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from harness import machine_line

# A table's name, or a picture's file -> the file in bench/results that it is made of, without .json, and what
# makes it.
Tables = Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A page with tables, and its pictures.

    Attributes:
        title: its file, as seen from docs/.
        tables, pictures: see `Tables`.
    """

    title: str
    tables: Tables
    pictures: Tables = dataclasses.field(default_factory=dict)


def measured_on(result: Mapping[str, Any]) -> str:
    """Return what a result was measured on, as a sentence."""
    return f"{machine_line(result['machine'])}."
