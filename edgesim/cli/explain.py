"""`edgesim explain`: why a query's match is one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli import COMMANDS
from edgesim.cli.encoders import add_encoder_option

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


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "explain",
        help=COMMANDS["explain"],
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("index", type=Path, metavar="INDEX", help="folder of the index")
    parser.add_argument("query", type=Path, metavar="IMAGE", help="image file to look up")
    parser.add_argument(
        "--match", type=int, default=1, metavar="N", help="explain the Nth best match (default: 1)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="HTML page to write")
    add_encoder_option(parser, None, "the one that the index was made with, the only one that can search it")
    parser.add_argument("--engine", metavar="ENGINE", help="inference engine (default: the first that fits)")
    parser.add_argument("--json", action="store_true", help="print JSON, in the form shown below")
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
    print(_json(args, explanation) if args.json else _text(args, explanation))
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


def _json(args: argparse.Namespace, explanation: Explanation) -> str:
    import json

    match = explanation.match
    found = {
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
    return json.dumps(found, indent=2)
