"""`edgesim query`: look images up in an index."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli import COMMANDS
from edgesim.cli.encoders import add_encoder_option

if TYPE_CHECKING:
    from edgesim.errors import ImageError
    from edgesim.runtime.index import Match
    from edgesim.runtime.matcher import Matcher

_EPILOG = """\
Similarity is the cosine of the angle between two embeddings: 1 for the same picture, about 0 for
unrelated ones.

--json prints one object:
  {"index": ..., "encoder": ..., "encoder_id": ..., "queries": [
    {"query": IMAGE, "matches": [
      {"rank": 1, "similarity": 0.98, "path": ..., "labels": {KEY: VALUE}, "entry_id": ...}]},
    {"query": IMAGE, "error": why it could not be decoded}]}

exit status: 0 if all images were looked up; 3 if one could not be decoded, the others are answered

example:
  edgesim query parts new.jpg -k 3
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "query",
        help=COMMANDS["query"],
        description="Print the entries of an index that are most similar to each image.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("index", type=Path, metavar="INDEX", help="folder of the index")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image file to look up")
    parser.add_argument("-k", type=int, default=5, metavar="N", help="print the N nearest (default: 5)")
    add_encoder_option(parser, None, "the one that the index was made with, the only one that can search it")
    parser.add_argument("--engine", metavar="ENGINE", help="inference engine (default: the first that fits)")
    parser.add_argument("--json", action="store_true", help="print JSON, in the form shown below")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look images up and print their matches."""
    from edgesim.errors import ImageError
    from edgesim.runtime.matcher import Matcher

    answers: list[tuple[Path, list[Match] | ImageError]] = []
    with Matcher(args.index, args.encoder, args.engine, read_only=True) as matcher:
        for image in args.images:
            try:
                answers.append((image, matcher.query(image, args.k)))
            except ImageError as error:
                answers.append((image, error))
        if len(matcher.index) == 0:
            print(
                f"edgesim: {args.index}: empty; add images with: edgesim index add {args.index} PATH",
                file=sys.stderr,
            )
        print(_json(args.index, matcher, answers) if args.json else _table(answers))
    failures = [answer for _, answer in answers if isinstance(answer, ImageError)]
    for failure in failures:
        print(f"edgesim: {failure}", file=sys.stderr)
    return ImageError.exit_status if failures else 0


def _table(answers: list[tuple[Path, list[Match] | ImageError]]) -> str:
    from edgesim.cli.tables import format_table
    from edgesim.runtime.entry import format_labels, printable

    rows = [
        (
            printable(image),
            str(rank),
            f"{match.similarity:.4f}",
            printable(match.path),
            format_labels(match.labels),
        )
        for image, answer in answers
        if isinstance(answer, list)
        for rank, match in enumerate(answer, 1)
    ]
    return format_table(("query", "rank", "similarity", "path", "labels"), rows)


def _json(index: Path, matcher: Matcher, answers: list[tuple[Path, list[Match] | ImageError]]) -> str:
    import json

    bundle = matcher.embedder.bundle
    queries = [{"query": str(image), **_json_answer(answer)} for image, answer in answers]
    report = {"index": str(index), "encoder": bundle.spec.name, "encoder_id": bundle.encoder_id}
    return json.dumps({**report, "queries": queries}, indent=2)


def _json_answer(answer: list[Match] | ImageError) -> dict[str, object]:
    if not isinstance(answer, list):
        return {"error": str(answer)}
    return {"matches": [{"rank": rank, **vars(match)} for rank, match in enumerate(answer, 1)]}
