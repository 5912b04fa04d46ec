"""The nearest known name to one that was mistyped: one wording for every 'unknown X' message."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest known name, or `; known: a, b` when none is close."""
    import difflib  # only a mistyped name pays for it

    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
