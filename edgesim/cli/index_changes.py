"""`edgesim index remove|label|compact`: change and remove entries, and give back their room."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.labels import add_where_option, parse_labels, parse_where
from edgesim.cli.parsers import Subparsers, add_action, add_index_argument, example

if TYPE_CHECKING:
    from edgesim.runtime.selection import LabelChange

_REMOVE = "Remove entries from an index. The image files are not touched."
_LABEL = """\
Change the labels of entries; the images are not needed. A label that an entry has under the same key is
replaced. --csv reads lines of path,key,value below a header of these words, one label each. All changes are
made, or none.
"""
_COMPACT = """\
Give back the room that removed entries take, on the disk and in the search graph. The index may be queried
meanwhile; a power cut is harmless. Needs as much free room as the index takes, for a while, where programs
put temporary files (SQLITE_TMPDIR names another place).
"""


def add_actions(actions: Subparsers) -> None:
    """Add the actions to the parser of `edgesim index`."""
    remove = add_action(
        actions, "remove", "remove entries", _REMOVE, example("edgesim index remove parts photos/old.jpg")
    )
    add_index_argument(remove)
    _add_selection(remove, "remove")
    remove.set_defaults(run=run_remove)
    label = add_action(
        actions,
        "label",
        "change labels of entries",
        _LABEL,
        example("edgesim index label parts --where line=3 --label checked=yes"),
    )
    add_index_argument(label)
    _add_selection(label, "label")
    label.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="label to give; may be repeated"
    )
    label.add_argument(
        "--drop", action="append", default=[], metavar="KEY", help="label to take away; may be repeated"
    )
    label.add_argument("--csv", type=Path, metavar="FILE", help="take paths and labels from this file")
    label.set_defaults(run=run_label)
    compact = add_action(
        actions,
        "compact",
        "give back the room of removed entries",
        _COMPACT,
        example("edgesim index compact parts"),
    )
    add_index_argument(compact)
    compact.set_defaults(run=run_compact)


def _add_selection(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="an image's path, or that of a folder around images",
    )
    parser.add_argument(
        "--id",
        dest="ids",
        action="append",
        type=int,
        default=[],
        metavar="N",
        help="the id of an entry, as query and list print it with --json; may be repeated",
    )
    add_where_option(parser, f"{verb} only those of the entries named, or of all if none is named")


def run_remove(args: argparse.Namespace) -> int:
    """Remove entries."""
    from edgesim.runtime.index import Index

    where = parse_where(args)
    with Index.open(args.index) as index:
        removed = index.remove(args.paths, ids=args.ids, where=where)
        index.refresh_graph()
        print(f"{args.index}: {removed} removed; {len(index)} entries")
    return 0


def run_label(args: argparse.Namespace) -> int:
    """Change labels."""
    from edgesim.runtime.index import Index

    changes = _changes(args)
    with Index.open(args.index) as index:
        changed = index.label(changes)
        print(f"{args.index}: labels of {changed} changed; {len(index)} entries")
    return 0


def _changes(args: argparse.Namespace) -> list[LabelChange]:
    from edgesim.csv_rows import read_csv_rows
    from edgesim.errors import InputError, UsageError
    from edgesim.runtime.selection import LabelChange, Selection

    labels, where = parse_labels(args.label), parse_where(args)
    if args.csv is None:
        if not labels and not args.drop:
            raise UsageError("which labels? Name --label KEY=VALUE, --drop KEY or --csv FILE")
        selection = Selection.of(args.paths, args.ids, where)
        return [LabelChange(selection=selection, labels=labels, removed=args.drop)]
    if labels or args.drop or args.paths or args.ids or where:
        raise UsageError("--csv names entries and labels itself; leave out the other options")
    changes = []
    for place, (path, key, value) in read_csv_rows(args.csv, ["path", "key", "value"]):
        if not path or not key:
            raise InputError(f"{place}: expected a path and a key, got {path!r} and {key!r}")
        changes.append(LabelChange(selection=Selection.of([path]), labels={key: value}))
    return changes


def run_compact(args: argparse.Namespace) -> int:
    """Give back room, and print how much."""
    from edgesim.runtime.index import Index

    with Index.open(args.index) as index:
        before = sum(index.stats()["bytes"].values())
        rebuilt = index.compact()
        after = sum(index.stats()["bytes"].values())
    graph = "; search graph rebuilt" if rebuilt else ""
    print(f"{args.index}: {before} bytes before, {after} after, {before - after} saved{graph}")
    return 0
