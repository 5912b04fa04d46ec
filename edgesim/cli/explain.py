"""`edgesim explain`: why a query's match is one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli.encoders import add_search_options
from edgesim.cli.parsers import Subparsers, add_command, add_index_argument, add_json_option

if TYPE_CHECKING:
    from edgesim.runtime.explain import Explanation

_DESCRIPTION = """\
Look an image up and show why one of its matches is one: a page with both pictures, in colour the regions that
make them similar and those that make them differ, and the margin to the next candidate.

Parts of each picture are hidden in turn, and it is measured how the similarity changes: 200 embeddings.
"""

_EPILOG = """\
--json prints one object:
  {"index": ..., "query": IMAGE, "rank": 1, "path": ..., "similarity": ..., "margin": ..., or null without a
   next candidate, "verdict": ..., where the index is calibrated, "page": FILE or null,
   "query_map": [[8 numbers] 8 times], "match_map": ...}
  a map, from the top left: by how much the similarity falls when that region of the picture is hidden

example:
  edgesim explain parts new.jpg --out why.html
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "explain", _DESCRIPTION, _EPILOG)
    add_index_argument(parser)
    parser.add_argument("query", type=Path, metavar="IMAGE", help="image file to look up")
    parser.add_argument(
        "--match", type=int, default=1, metavar="N", help="explain the Nth best match (default: 1)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="HTML page to write")
    add_search_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain a match, and write the page."""
    from edgesim.files import write_atomic
    from edgesim.runtime.explain import explain_match
    from edgesim.runtime.matcher import Matcher

    with Matcher(args.index, args.encoder, args.engine, read_only=True) as matcher:
        explanation = explain_match(matcher, args.query, args.match)
    if args.out is not None:
        write_atomic(args.out, _page(args.query, explanation).encode("utf-8", "backslashreplace"))
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json(_report(args, explanation))
    else:
        print(_text(args, explanation))
    return 0


def _page(query: Path, explanation: Explanation) -> str:
    from edgesim.explanation_page import Candidate, Side, explanation_page

    candidates = [
        Candidate(
            rank=rank,
            similarity=match.similarity,
            score=match.score if explanation.normalised else None,
            verdict=match.verdict,
            path=match.path,
            explained=rank == explanation.rank,
        )
        for rank, match in enumerate(explanation.matches, 1)
    ]
    return explanation_page(
        Side(name=str(query), picture=explanation.query, changes=explanation.query_map),
        Side(name=explanation.match.path, picture=explanation.entry, changes=explanation.entry_map),
        explanation.similarity,
        explanation.margin,
        candidates,
    )


def _text(args: argparse.Namespace, explanation: Explanation) -> str:
    from edgesim.runtime.entry import printable

    match, margin = explanation.match, explanation.margin
    verdict = "" if match.verdict is None else f", {match.verdict}"
    lines = [
        f"{printable(args.query)}: match {explanation.rank} is {printable(match.path)}",
        f"similarity {match.similarity:.4f}{verdict}; "
        + ("there is no next candidate" if margin is None else f"{margin:.4f} ahead of the next candidate"),
    ]
    if args.out is not None:
        lines.append(f"page: {args.out}")
    return "\n".join(lines)


def _report(args: argparse.Namespace, explanation: Explanation) -> dict[str, Any]:
    match = explanation.match
    return {
        "index": str(args.index),
        "query": str(args.query),
        "rank": explanation.rank,
        "path": match.path,
        "similarity": match.similarity,
        "margin": explanation.margin,
        **({} if match.verdict is None else {"verdict": match.verdict}),
        "page": None if args.out is None else str(args.out),
        "query_map": explanation.query_map.tolist(),
        "match_map": explanation.entry_map.tolist(),
    }
