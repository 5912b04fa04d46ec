"""The frame of an HTML page without other files: its head, the style of its text, and its heading."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def html_page(title: str, style: str, parts: Iterable[str], *, width: int) -> str:
    """Return a page, one part a line.

    Args:
        title: of the page, which is its heading too; plain text.
        style: CSS, after that of text and headings.
        parts: HTML, what follows the heading.
        width: pixels of the page at most.
    """
    name = escape(title)
    lines = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{name}</title><style>",
        "body { font: 15px/1.45 system-ui, sans-serif; color: #1c2026; background: #fff; "
        f"max-width: {width}px;",
        "  margin: 2rem auto; padding: 0 1rem }",
        "h1 { font-size: 1.6rem; margin: 0 }",
        "h2 { font-size: 1.15rem; margin: 2rem 0 .4rem }",
        style.strip(),
        "</style></head><body>",
        f"<h1>{name}</h1>",
        *parts,
        "</body></html>\n",
    ]
    return "\n".join(lines)
