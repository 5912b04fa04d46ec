"""`edgesim index`: add images to an index, list and remove them, and look after it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli import index_changes, index_damage, index_exchange, index_graph, index_watch
from edgesim.cli.encoders import add_encoder_option, add_engine_option, find_checkpoint
from edgesim.cli.labels import add_label_option, add_where_option, parse_labels, parse_where
from edgesim.cli.parsers import (
    Subparsers,
    add_action,
    add_command,
    add_index_argument,
    add_json_option,
    example,
)

if TYPE_CHECKING:
    from edgesim.runtime.ingest import AddReport
    from edgesim.runtime.keys import KeyEncoder

_HELP_JSON = "print the result as JSON"
_ADD = """\
Add images, and the images below folders. May be run again at any time: nothing is added twice,
changed files are brought up to date, and labels are merged. An image is known by its absolute path.
"""
_LIST = "Print the path and the labels of each entry."
_STATS = "Print how many entries there are, which encoder made them, how they are searched, and sizes."


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions to the parser."""
    parser = add_command(
        subparsers,
        "index",
        "An index is a folder that holds the vectors, paths and labels of images.",
        example("edgesim index add parts photos/", "edgesim index stats parts"),
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_action(actions)
    listed = add_action(actions, "list", "print the entries", _LIST, example("edgesim index list parts"))
    add_index_argument(listed)
    add_json_option(listed, _HELP_JSON)
    add_where_option(listed, "print only those entries")
    listed.set_defaults(run=run_list)
    stats = add_action(
        actions, "stats", "print figures about the index", _STATS, example("edgesim index stats parts")
    )
    add_index_argument(stats)
    add_json_option(stats, _HELP_JSON)
    stats.set_defaults(run=run_stats)
    index_graph.add_actions(actions)
    index_changes.add_actions(actions)
    index_watch.add_actions(actions)
    index_exchange.add_actions(actions)
    index_damage.add_actions(actions)


def _add_action(actions: Subparsers) -> None:
    parser = add_action(
        actions, "add", "add images", _ADD, example("edgesim index add parts photos/ --label line=3")
    )
    add_index_argument(parser)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image, or folder of images")
    add_label_option(parser)
    add_encoder_option(parser, None, "the one that the index was made with, copy for a new index")
    parser.add_argument(
        "--keys",
        metavar="RUN",
        help="compute the vectors with the float encoder of this training run, a large key model that the "
        "encoder was trained to land on; queries need the encoder only. Needs torch",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="read N images at a time (default: as many as there are cores and gigabytes of memory)",
    )
    add_engine_option(parser)
    add_json_option(parser, _HELP_JSON)
    parser.set_defaults(run=run_add)


def run_add(args: argparse.Namespace) -> int:
    """Add images and print what became of them."""
    from edgesim.errors import InputError
    from edgesim.runtime.matcher import Matcher

    labels = parse_labels(args.label)
    keys = None if args.keys is None else _key_encoder(args.keys)
    with Matcher(args.index, args.encoder, args.engine, create=True) as matcher:
        report = matcher.add(args.paths, labels, progress=True, keys=keys, jobs=args.jobs)
        entries = len(matcher.index)
    for path, reason in report.skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr)
    _print_report(args, report, entries)
    if not report.added + report.updated + report.unchanged:
        raise InputError("none of these images can be used; the reasons are above")
    return 0


def _key_encoder(run: str) -> KeyEncoder:
    from edgesim.errors import missing_dependency

    try:
        from edgesim.training.key_embedder import KeyEmbedder
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "edgesim index add --keys") from error
    return KeyEmbedder(find_checkpoint(run))


def _print_report(args: argparse.Namespace, report: AddReport, entries: int) -> None:
    if args.json:
        from edgesim.cli.json_output import print_json

        skipped = [{"path": path, "reason": reason} for path, reason in report.skipped]
        counts = {"added": report.added, "updated": report.updated, "unchanged": report.unchanged}
        print_json({"index": str(args.index), **counts, "skipped": skipped, "entries": entries})
        return
    print(
        f"{args.index}: {report.added} added, {report.updated} updated, {report.unchanged} unchanged, "
        f"{len(report.skipped)} skipped; {entries} entries"
    )


def run_list(args: argparse.Namespace) -> int:
    """Print all entries."""
    import dataclasses

    from edgesim.cli.tables import format_table
    from edgesim.runtime.entry import format_labels, printable
    from edgesim.runtime.index import Index

    where = parse_where(args)
    with Index.open(args.index, read_only=True) as index:
        entries = index.entries(where)
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json([dataclasses.asdict(entry) for entry in entries])
    else:
        print(
            format_table(("path", "labels"), [(printable(e.path), format_labels(e.labels)) for e in entries])
        )
    return 0


def run_stats(args: argparse.Namespace) -> int:
    """Print figures about an index."""
    from edgesim.runtime.index import Index

    with Index.open(args.index, read_only=True) as index:
        stats = index.stats()
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json(stats)
    else:
        print("\n".join(f"{key}: {value}" for key, value in _stats_lines(stats)))
    return 0


def _stats_lines(stats: dict[str, Any]) -> list[tuple[str, str]]:
    labels = [
        f"{key} ({label['entries']} entries, {label['values']} values)"
        for key, label in stats["labels"].items()
    ]
    return [
        ("entries", str(stats["entries"])),
        ("encoder", f"{stats['encoder']} ({stats['encoder_id']}), {stats['embedding_dim']} dimensions"),
        *([("key model", f"{stats['key_model']} ({stats['key_model_id']})")] if stats["key_model"] else []),
        ("bundle", stats["bundle"]),
        ("search", "HNSW" if stats["search"] == "hnsw" else "exact"),
        ("search graph", _graph_line(stats)),
        *([("recall", index_graph.recall_line(stats["graph_settings"]))] if stats["graph_settings"] else []),
        ("labels", ", ".join(labels) or "none"),
        *((name, f"{size} bytes") for name, size in stats["bytes"].items()),
    ]


def _graph_line(stats: dict[str, Any]) -> str:
    if stats["search"] != "hnsw":
        return str(stats["graph"])
    newer = f" by {stats['newer']} entries that came" if stats["newer"] else ""
    return f"{stats['graph']}{newer}, {stats['graph_memory'] / 2**20:.0f} MiB of memory"
