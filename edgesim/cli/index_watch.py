"""`edgesim index watch`: add the images that appear in a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.encoders import add_encoder_option, add_engine_option
from edgesim.cli.labels import add_label_option, parse_labels
from edgesim.cli.parsers import Subparsers, add_action, add_index_argument, example

if TYPE_CHECKING:
    from edgesim.runtime.ingest import AddReport

_DESCRIPTION = """\
Add the images in folders, and go on with those that appear or change, until Ctrl-C or SIGTERM. An image is
taken when its file has kept its size and time for a while; one that cannot be decoded is named, and tried
again when it changes. Prints a line for each batch. Entries of removed files stay, unless --remove is given.
"""


def add_actions(actions: Subparsers) -> None:
    """Add the action to the parser of `edgesim index`."""
    parser = add_action(
        actions,
        "watch",
        "add the images that appear in a folder",
        _DESCRIPTION,
        "exit status: 0 when it was stopped\n\n" + example("edgesim index watch parts /mnt/camera"),
    )
    add_index_argument(parser)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folder to watch")
    add_label_option(parser)
    parser.add_argument(
        "--quiet",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="a file is complete when it has not changed for so long (default: 3)",
    )
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="SECONDS", help="look so often (default: 1)"
    )
    parser.add_argument(
        "--remove",
        action="store_true",
        help="remove the entries of files that disappear meanwhile; a folder without any image is taken "
        "for a share that is not there for the moment",
    )
    add_encoder_option(parser, None, "the one that the index was made with, copy for a new index")
    add_engine_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Watch until a signal comes."""
    import signal
    import threading

    from edgesim.errors import UsageError
    from edgesim.runtime.matcher import Matcher
    from edgesim.runtime.watching import watch

    for option in ("quiet", "every"):
        if not 0 < getattr(args, option) <= 86_400:
            raise UsageError(f"--{option}: expected 0 to 86400 seconds, got {getattr(args, option)}")
    stop, labels = threading.Event(), parse_labels(args.label)
    with Matcher(args.index, args.encoder, args.engine, create=True) as matcher:

        def report(result: AddReport) -> None:
            _print_report(args.index, result, len(matcher.index))

        def removed(count: int) -> None:
            print(f"{args.index}: {count} removed; {len(matcher.index)} entries", flush=True)

        before = {
            number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            watch(
                matcher,
                args.folders,
                stop,
                report,
                labels=labels,
                quiet=args.quiet,
                every=args.every,
                remove=removed if args.remove else None,
            )
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    print(f"{args.index}: stopped", flush=True)
    return 0


def _print_report(index: Path, report: AddReport, entries: int) -> None:
    for path, reason in report.skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr, flush=True)
    if report.added or report.updated or report.skipped:
        print(
            f"{index}: {report.added} added, {report.updated} updated, {len(report.skipped)} skipped; "
            f"{entries} entries",
            flush=True,
        )
