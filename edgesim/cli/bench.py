"""`edgesim bench`: how fast and how large an encoder is on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.encoders import BUILTIN_NAMES, add_engine_option
from edgesim.cli.parsers import Subparsers, add_command, add_json_option

if TYPE_CHECKING:
    from edgesim.bench_report import BenchReport
    from edgesim.runtime.bench.request import BenchRequest

_DESCRIPTION = """\
Measure an encoder on this machine: the start of a process, the stages of a query with photos of three sizes,
every engine that is installed, memory, and the throughput under load while the board's clock and temperature
are read. Or compare two such measurements. What each figure means: docs/bench.md.
"""

_EPILOG = """\
--json prints the report; --compare takes two such files. Each figure is measured for --seconds, in five
windows; with three engines on 1, 2 and 4 threads that makes 14 figures.

exit status: 0 if no budget of --profile is exceeded; 7 if one is

examples:
  edgesim bench copy --index parts --profile pi-4b
  edgesim bench copy --sustained 300 --html report.html --json
  edgesim bench --compare yesterday.json today.json
"""


# What is asked of a measurement, as the command line calls it.
_MEASURING = ("index", "profile", "fp32", "engine", "threads", "seconds", "sustained", "html")
_SECONDS = 10.0


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "bench", _DESCRIPTION, _EPILOG)
    parser.add_argument(
        "bundle", nargs="?", metavar="BUNDLE", help=f"{BUILTIN_NAMES}, or the folder of a bundle"
    )
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("A", "B"), help="compare two reports instead of measuring"
    )
    parser.add_argument("--index", type=Path, metavar="INDEX", help="index that queries search")
    parser.add_argument("--profile", metavar="NAME", help="judge by the budgets of this device profile")
    parser.add_argument(
        "--fp32", metavar="BUNDLE", help="the same encoder exported without quantisation, to compare with"
    )
    add_engine_option(parser)
    parser.add_argument(
        "--threads",
        metavar="N,N",
        help="threads that the engines are compared on (default: 1, 2 and 4, as far as there are cores); "
        "queries take one",
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help=f"measure each figure for S (default: {_SECONDS:g})"
    )
    parser.add_argument("--sustained", type=float, metavar="S", help="load the board for S more, such as 300")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page, too")
    add_json_option(parser, "print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, or compare."""
    from edgesim.errors import UsageError

    if (args.bundle is None) == (args.compare is None):
        raise UsageError("expected either a BUNDLE to measure, or --compare A.json B.json")
    if args.compare is None:
        return _measure(args)
    for name in _MEASURING:
        if getattr(args, name) is not None:
            raise UsageError(f"--{name}: does not go with --compare, which measures nothing; leave it out")
    return _compare(args)


def _measure(args: argparse.Namespace) -> int:
    from edgesim.cli.bench_tables import report_text

    report = _run_with_progress(_request(args))
    # First what took minutes to measure: the page's folder may be read-only.
    print(report.to_json() if args.json else report_text(report))
    if args.html is not None:
        _write_page(report, args.html)
    _check_budgets(report)
    return 0


def _request(args: argparse.Namespace) -> BenchRequest:
    from edgesim.errors import UsageError
    from edgesim.profiles import load_profile
    from edgesim.runtime.bench.request import BenchRequest, default_threads

    # Said before minutes of measuring, not after.
    if args.html is not None and not args.html.absolute().parent.is_dir():
        raise UsageError(f"--html: {args.html.parent} is no folder; make it first")
    return BenchRequest(
        bundle=args.bundle,
        float_bundle=args.fp32,
        index=args.index,
        profile=None if args.profile is None else load_profile(args.profile),
        engine=args.engine,
        threads=default_threads() if args.threads is None else _parse_threads(args.threads),
        seconds=_SECONDS if args.seconds is None else args.seconds,
        sustained=args.sustained or 0.0,
    )


def _parse_threads(text: str) -> tuple[int, ...]:
    from edgesim.errors import UsageError

    try:
        return tuple(dict.fromkeys(int(number) for number in text.split(",")))
    except ValueError:
        raise UsageError(f"--threads: expected numbers such as 1,2,4, got {text!r}") from None


def _run_with_progress(request: BenchRequest) -> BenchReport:
    from tqdm import tqdm

    from edgesim.runtime.bench.benchmark import run_benchmark

    layout = "{desc:<28} {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=1.0, bar_format=layout, leave=False, disable=None) as bar:

        def show(name: str, done: float) -> None:
            bar.set_description_str(name, refresh=False)
            bar.n = done
            bar.refresh()

        return run_benchmark(request, show)


def _write_page(report: BenchReport, path: Path) -> None:
    from edgesim.bench_page import bench_page
    from edgesim.files import write_atomic

    write_atomic(path, bench_page(report).encode("utf-8", "backslashreplace"))


def _check_budgets(report: BenchReport) -> None:
    from edgesim.cli.bench_tables import format_amount
    from edgesim.errors import GateError

    exceeded = [
        f"{verdict.budget} {format_amount(verdict.value, verdict.unit)} of "
        f"{format_amount(verdict.limit, verdict.unit)}"
        for verdict in report.verdicts
        if verdict.passed is False
    ]
    if exceeded:
        raise GateError(
            f"over the budget of {report.profile}: {', '.join(exceeded)}; choose a smaller index or encoder"
        )


def _compare(args: argparse.Namespace) -> int:
    import dataclasses
    import sys

    from edgesim.bench_comparison import compare
    from edgesim.bench_report import read_bench_report
    from edgesim.cli.bench_tables import comparison_text
    from edgesim.cli.json_output import print_json

    before, after = (read_bench_report(path) for path in args.compare)
    comparison = compare(before, after)
    for warning in comparison.warnings:
        print(f"edgesim: {warning}", file=sys.stderr)
    if args.json:
        print_json(dataclasses.asdict(comparison))
    else:
        print(comparison_text(comparison))
    return 0
