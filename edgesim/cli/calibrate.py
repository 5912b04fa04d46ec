"""`edgesim calibrate`: find the thresholds of an index, so that queries answer match, no match or unsure."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli.encoders import add_search_options
from edgesim.cli.parsers import Subparsers, add_command, add_index_argument, add_json_option

if TYPE_CHECKING:
    from edgesim.runtime.calibration import CalibrationReport
    from edgesim.runtime.matcher import Matcher

PAGE = "calibration.html"

_DESCRIPTION = """\
Find the similarity from which a query's best entry is the same picture, and that below which it is not, and
keep both in the index. From then on every query answers match, unsure or no match.

A false alarm is a query without a match in the index that is answered with match; a miss is one with a match
that is answered with no match. Both rates hold with the confidence for queries like those calibrated with.
"""

_EPILOG = """\
--pairs: CSV with the header query,reference; a row for each pair of image files, relative to the folder of
the CSV file. An empty reference: nothing in the index shows the same. Both kinds are needed.

--augment: one edited copy of each of up to 1,000 images must be found, and each of up to 10,000 images is
looked up among those of another content. Real queries may differ more than these do: prefer --pairs.

Few queries show no low rate: at 95 % confidence it takes 299 queries without a match for 1 %, and 2,995 for
0.1 %; with --augment twice as many images.

--json prints one object:
  {"index": ..., "encoder": ..., "encoder_id": ..., "entries": ..., "background": images, 0 without,
   "source": ..., "notes": [...], "page": FILE or null,
   "thresholds": {"lower": ..., "upper": ...}, or null with --background alone,
   "aims": {"false_alarms": 0.01, "misses": 0.05, "confidence": 0.95},
   "false_alarms": {"events": 2, "trials": 900, "at_least": ..., "at_most": ...}, "misses": ...}

example:
  edgesim calibrate parts --augment --false-alarms 0.01 --out parts-thresholds
  edgesim calibrate parts --pairs known.csv --background unrelated/
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "calibrate", _DESCRIPTION, _EPILOG)
    add_index_argument(parser)
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--pairs", type=Path, metavar="CSV", help="known answers, in the form shown below")
    known.add_argument(
        "--augment", action="store_true", help="take known answers from the index's own images"
    )
    known.add_argument("--clear", action="store_true", help="forget thresholds and background")
    parser.add_argument(
        "--background",
        type=Path,
        metavar="FOLDER",
        help="images that no query shows, up to 1,000 of them: a query's mean similarity to its 3 nearest of "
        "these is taken from its similarities (score normalisation). Without it scores are similarities",
    )
    rates = (
        ("false-alarms", 0.01, "queries without a match that may be answered with match"),
        ("misses", 0.05, "queries with a match that may be answered with no match"),
    )
    for name, default, queries in rates:
        parser.add_argument(
            f"--{name}",
            type=float,
            default=default,
            metavar="RATE",
            help=f"share of the {queries} (default: {default:g})",
        )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="SHARE",
        help="how sure both rates must be (default: 0.95)",
    )
    add_search_options(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"write {PAGE}, with pictures, into it")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Calibrate an index and print its thresholds."""
    from edgesim.errors import UsageError
    from edgesim.files import write_atomic
    from edgesim.runtime.calibration import calibrate_index, report_page
    from edgesim.runtime.matcher import Matcher
    from edgesim.thresholds import Aims

    if args.clear:
        return _clear(args)
    aims = Aims(false_alarms=args.false_alarms, misses=args.misses, confidence=args.confidence)
    if args.out is not None:
        if args.out.exists() and not args.out.is_dir():
            raise UsageError(f"{args.out}: is a file; choose a folder with --out")
        args.out.mkdir(parents=True, exist_ok=True)
    with Matcher(args.index, args.encoder, args.engine) as matcher:
        report = calibrate_index(
            matcher,
            pairs=args.pairs,
            augment=args.augment,
            background=args.background,
            aims=aims,
            progress=True,
        )
    html = None if args.out is None else report_page(report, str(args.index), matcher.embedder.bundle.title)
    page = None if html is None else args.out / PAGE
    for path, reason in report.skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr)
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json(_report(args.index, matcher, report, page))
    else:
        print(_text(args.index, report, page))
    # Last: the thresholds are kept already, and the folder may be read-only.
    if html is not None:
        write_atomic(args.out / PAGE, html.encode("utf-8", "backslashreplace"))
    return 0


def _clear(args: argparse.Namespace) -> int:
    from edgesim.errors import UsageError
    from edgesim.runtime.index import Index
    from edgesim.runtime.scoring import store_scoring

    if args.background is not None:
        raise UsageError("--clear forgets the background too; leave one of --clear and --background out")
    with Index.open(args.index) as index:
        store_scoring(index, None)
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json({"index": str(args.index), "thresholds": None, "background": 0})
    else:
        print(f"{args.index}: thresholds and background are forgotten")
    return 0


def _text(index: Path, report: CalibrationReport, page: Path | None) -> str:
    from edgesim.calibration_page import sentences

    lines = []
    if report.scoring.background is not None:
        lines.append(f"scores are normalised by {len(report.scoring.background.vectors):,} background images")
    if report.answers is not None and report.scoring.calibration is not None:
        lines += [
            f"from {report.answers.source}",
            *report.answers.notes,
            *sentences(report.scoring.calibration),
        ]
    if page is not None:
        lines.append(f"page: {page}")
    return "\n".join(f"{index}: {line}" for line in lines)


def _report(index: Path, matcher: Matcher, report: CalibrationReport, page: Path | None) -> dict[str, Any]:
    bundle, scoring, answers = matcher.embedder.bundle, report.scoring, report.answers
    found: dict[str, Any] = {
        "index": str(index),
        "encoder": bundle.spec.name,
        "encoder_id": bundle.encoder_id,
        "entries": scoring.entries,
        "background": 0 if scoring.background is None else len(scoring.background.vectors),
        "source": None if answers is None else answers.source,
        "notes": [] if answers is None else list(answers.notes),
        "page": None if page is None else str(page),
        "thresholds": None,
    }
    if scoring.calibration is not None:
        found |= scoring.calibration.to_dict()
    return found
