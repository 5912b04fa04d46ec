"""What a soak run found, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import markdown_table


def growth_table(result: Mapping[str, Any]) -> str:
    """Return where each curve starts, how it grows, and the verdict, in Markdown."""
    rows = [
        [
            name,
            f"{of['start']:.2f}",
            f"{of['slope']:+.2f} ± {of['standard_error']:.2f}",
            f"{of['bound']:.2f}",
            of["verdict"],
        ]
        for name, of in result["growth"].items()
    ]
    return markdown_table(["", "at first", "growth per hour, standard error", "bound", "surely"], rows)


def soak_line(result: Mapping[str, Any]) -> str:
    """Return how long the run was, what it did, and how many answers were wrong, in one line."""
    done = ", ".join(f"{count:,} x {name}" for name, count in result["operations"].items())
    return (
        f"{result['samples'][-1]['seconds'] / 60:.0f} minutes: {done}; {len(result['wrong'])} wrong answers"
    )
