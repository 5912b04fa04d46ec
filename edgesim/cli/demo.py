"""`edgesim demo`: see it work on real photographs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli.encoders import add_encoder_option, add_engine_option
from edgesim.cli.parsers import Subparsers, add_command, add_json_option

if TYPE_CHECKING:
    from edgesim.demo import DemoQuery, DemoResult

_EPILOG = """\
The photographs are those that scikit-image and scikit-learn ship; nothing is downloaded. The edits are crop,
rotation, JPEG of quality 20, a line of text, brightness, and pasting onto another photograph.

--json prints one object:
  {"encoder": ..., "engine": ..., "index": ..., "contact_sheet": ..., "found": 105, "of": 108,
   "edits": {EDIT: {"found": 18, "of": 18}},
   "queries": [{"query": ..., "photo": ..., "edit": EDIT, "match": ..., "similarity": 0.98,
                "milliseconds": 5.1, "right": true}]}

example:
  edgesim demo --out edgesim-demo
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers,
        "demo",
        "Add sample photographs to a new index, look up edited copies of them, and draw a\n"
        "contact sheet of queries and matches.",
        _EPILOG,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("edgesim-demo"),
        metavar="FOLDER",
        help="folder for index, queries and contact sheet; a second run replaces them (default: %(default)s)",
    )
    add_encoder_option(parser)
    add_engine_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration and print what was found."""
    from edgesim.demo import run_demo

    result = run_demo(args.out, args.encoder, args.engine, progress=True)
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json(_report(result))
    else:
        print(_text(result))
    return 0


def _counts(queries: list[DemoQuery]) -> tuple[int, int]:
    return sum(query.right for query in queries), len(queries)


def _by_edit(result: DemoResult) -> dict[str, tuple[int, int]]:
    edits = dict.fromkeys(query.edit for query in result.queries)
    return {edit: _counts(result.of_edit(edit)) for edit in edits}


def _text(result: DemoResult) -> str:
    from edgesim.cli.tables import format_table

    rows = [
        (
            query.query.name,
            query.match.name,
            f"{query.similarity:10.3f}",
            f"{query.milliseconds:6.1f}",
            "right" if query.right else "WRONG",
        )
        for query in result.queries
    ]
    lines = [format_table(("query", "best match", "similarity", "    ms", ""), rows), ""]
    counts = [*_by_edit(result).items(), ("all", _counts(result.queries))]
    lines += [f"found {found:3} of {total:3} ({edit})" for edit, (found, total) in counts]
    lines += ["", f"encoder        {result.encoder}, {result.engine}", f"index          {result.index}"]
    return "\n".join([*lines, f"contact sheet  {result.contact_sheet}"])


def _report(result: DemoResult) -> dict[str, Any]:
    found, total = _counts(result.queries)
    return {
        "encoder": result.encoder,
        "engine": result.engine,
        "index": str(result.index),
        "contact_sheet": str(result.contact_sheet),
        "found": found,
        "of": total,
        "edits": {edit: {"found": found, "of": total} for edit, (found, total) in _by_edit(result).items()},
        "queries": [_query(query) for query in result.queries],
    }


def _query(query: DemoQuery) -> dict[str, Any]:
    return {
        "query": str(query.query),
        "photo": str(query.photo),
        "edit": query.edit,
        "match": str(query.match),
        "similarity": query.similarity,
        "milliseconds": query.milliseconds,
        "right": query.right,
    }
