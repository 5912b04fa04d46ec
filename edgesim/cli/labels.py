"""Labels and filters over them, as the command line takes them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesim.runtime.label_filter import LabelFilter


def add_label_option(parser: argparse.ArgumentParser) -> None:
    """Add `--label` to the parser of a command that adds images."""
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="label for all these images; may be repeated",
    )


def add_where_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add `--where` to the parser of a command; `purpose` says what it does there."""
    parser.add_argument(
        "--where",
        metavar="FILTER",
        help=f"what labels must satisfy, such as 'line=3 and verdict!=ng' (docs/index.md): {purpose}",
    )


def parse_where(args: argparse.Namespace) -> LabelFilter | None:
    """Return the filter that was given, None without. Raises `UsageError`."""
    if args.where is None:
        return None
    from edgesim.runtime.label_filter import LabelFilter

    return LabelFilter.parse(args.where)


def parse_labels(pairs: list[str]) -> dict[str, str]:
    """Return labels that were given as `KEY=VALUE`. Raises `UsageError`."""
    from edgesim.errors import UsageError

    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"--label: expected KEY=VALUE, got {pair!r}")
        labels[key] = value
    return labels
