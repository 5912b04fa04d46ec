"""`edgesim query`: look images up in an index."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.encoders import add_search_options
from edgesim.cli.labels import add_where_option, parse_where
from edgesim.cli.parsers import Subparsers, add_command, add_index_argument, add_json_option

if TYPE_CHECKING:
    from edgesim.errors import ImageError
    from edgesim.runtime.match import Match
    from edgesim.runtime.matcher import Matcher
    from edgesim.runtime.scoring import Scoring

_EPILOG = """\
Similarity is the cosine of the angle between two embeddings: 1 for the same picture, about 0 for
unrelated ones. In an index that was calibrated (edgesim calibrate) each entry has a verdict: match, unsure or
no match; and where it has a background, also a score, which the verdict is about.

--json prints one object:
  {"index": ..., "encoder": ..., "encoder_id": ..., "queries": [
    {"query": IMAGE, "matches": [
      {"rank": 1, "similarity": 0.98, "path": ..., "labels": {KEY: VALUE}, "entry_id": ...}]},
    {"query": IMAGE, "error": why it could not be decoded}]}
In an index that was calibrated matches have "score" and "verdict" too, and queries the verdict of the best.

--where takes what the labels must satisfy, for example:
  line=3 and verdict!=ng            score>=0.5 or not has score
  part in (A12, B7) and (line=3 or shift='late night')

exit status: 0 if all images were looked up; 3 if one could not be decoded, the others are answered

example:
  edgesim query parts new.jpg -k 3
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers, "query", "Print the entries of an index that are most similar to each image.", _EPILOG
    )
    add_index_argument(parser)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image file to look up")
    parser.add_argument("-k", type=int, default=5, metavar="N", help="print the N nearest (default: 5)")
    add_search_options(parser)
    add_where_option(parser, "search only the entries that satisfy it")
    parser.add_argument(
        "--verdict", action="store_true", help="refuse an index that has no thresholds, and so no verdicts"
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look images up and print their matches."""
    from edgesim.errors import ImageError
    from edgesim.runtime.matcher import Matcher

    where = parse_where(args)
    answers: list[tuple[Path, list[Match] | ImageError]] = []
    with Matcher(args.index, args.encoder, args.engine, read_only=True) as matcher:
        if args.verdict:
            _require_thresholds(args.index, matcher)
        for image in args.images:
            try:
                answers.append((image, matcher.query(image, args.k, where)))
            except ImageError as error:
                answers.append((image, error))
        if len(matcher.index) == 0:
            print(
                f"edgesim: {args.index}: empty; add images with: edgesim index add {args.index} PATH",
                file=sys.stderr,
            )
        elif not any(answer for _, answer in answers if isinstance(answer, list)) and where is not None:
            print(f"edgesim: {args.index}: no entry satisfies --where {where.text!r}", file=sys.stderr)
        if args.json:
            from edgesim.cli.json_output import print_json

            print_json(_report(args.index, matcher, answers))
        else:
            print(_table(answers, matcher.scoring))
    failures = [answer for _, answer in answers if isinstance(answer, ImageError)]
    for failure in failures:
        print(f"edgesim: {failure}", file=sys.stderr)
    return ImageError.exit_status if failures else 0


def _require_thresholds(index: Path, matcher: Matcher) -> None:
    from edgesim.errors import IndexStoreError

    if matcher.scoring is None or matcher.scoring.calibration is None:
        raise IndexStoreError(
            f"{index}: has no thresholds to give verdicts by; make them with: edgesim calibrate {index}"
        )


def _table(answers: list[tuple[Path, list[Match] | ImageError]], scoring: Scoring | None) -> str:
    from edgesim.cli.tables import format_table
    from edgesim.runtime.entry import format_labels, printable

    # A column for what the index knows how to tell.
    scored = scoring is not None and scoring.background is not None
    judged = scoring is not None and scoring.calibration is not None
    rows = [
        (
            printable(image),
            str(rank),
            f"{match.similarity:.4f}",
            *([f"{match.score:.4f}"] if scored else []),
            *([str(match.verdict)] if judged else []),
            printable(match.path),
            format_labels(match.labels),
        )
        for image, answer in answers
        if isinstance(answer, list)
        for rank, match in enumerate(answer, 1)
    ]
    extra = [name for name, shown in (("score", scored), ("verdict", judged)) if shown]
    return format_table(("query", "rank", "similarity", *extra, "path", "labels"), rows)


def _report(
    index: Path, matcher: Matcher, answers: list[tuple[Path, list[Match] | ImageError]]
) -> dict[str, object]:
    bundle = matcher.embedder.bundle
    return {
        "index": str(index),
        "encoder": bundle.spec.name,
        "encoder_id": bundle.encoder_id,
        "queries": [{"query": str(image), **_answer(answer)} for image, answer in answers],
    }


def _answer(answer: list[Match] | ImageError) -> dict[str, object]:
    if not isinstance(answer, list):
        return {"error": str(answer)}
    matches = [
        {"rank": rank, **{name: value for name, value in vars(match).items() if value is not None}}
        for rank, match in enumerate(answer, 1)
    ]
    verdict = answer[0].verdict if answer else None
    return {**({} if verdict is None else {"verdict": verdict}), "matches": matches}
