"""`edgesim index`: add images to an index, list and remove them, and look after it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli import COMMANDS, index_changes, index_damage, index_exchange, index_watch
from edgesim.cli.encoders import add_encoder_option, find_checkpoint
from edgesim.cli.labels import add_where_option, parse_labels, parse_where

if TYPE_CHECKING:
    from edgesim.runtime.ingest import AddReport
    from edgesim.runtime.keys import KeyEncoder

_HELP_JSON = "print the result as JSON"
_DESCRIPTIONS = {
    "add": "Add images, and the images below folders. May be run again at any time: nothing is added twice,\n"
    "changed files are brought up to date, and labels are merged. An image is known by its absolute path.",
    "list": "Print the path and the labels of each entry.",
    "stats": "Print how many entries there are, which encoder made them, how they are searched, and sizes.",
    "rebuild": "Build the search graph of a large index anew. Small ones are searched exactly, without.",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its actions to the parser."""
    parser = subparsers.add_parser(
        "index",
        help=COMMANDS["index"],
        description="An index is a folder that holds the vectors, paths and labels of images.",
        epilog="example:\n  edgesim index add parts photos/\n  edgesim index stats parts\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_action(actions)
    listed = _action(actions, "list", "print the entries", "edgesim index list parts")
    listed.add_argument("--json", action="store_true", help=_HELP_JSON)
    add_where_option(listed, "print only those entries")
    listed.set_defaults(run=run_list)
    stats = _action(actions, "stats", "print figures about the index", "edgesim index stats parts")
    stats.add_argument("--json", action="store_true", help=_HELP_JSON)
    stats.set_defaults(run=run_stats)
    rebuilt = _action(actions, "rebuild", "build the search graph anew", "edgesim index rebuild parts")
    rebuilt.add_argument(
        "--recall",
        type=float,
        metavar="SHARE",
        help="choose the graph's parameters so that searches find this share of the nearest entries, such as "
        "0.99; verified against exact searches, and remembered (default: as they are)",
    )
    rebuilt.add_argument(
        "-k", type=int, default=10, metavar="N", help="of the N nearest, with --recall (default: 10)"
    )
    rebuilt.set_defaults(run=run_rebuild)
    index_changes.add_actions(actions)
    index_watch.add_actions(actions)
    index_exchange.add_actions(actions)
    index_damage.add_actions(actions)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, purpose: str, example: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=purpose,
        description=_DESCRIPTIONS[name],
        epilog=f"example:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("index", type=Path, metavar="INDEX", help="folder of the index")
    return parser


def _add_action(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _action(actions, "add", "add images", "edgesim index add parts photos/ --label line=3")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image, or folder of images")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="label for all these images; may be repeated",
    )
    add_encoder_option(parser, None, "the one that the index was made with, copy for a new index")
    parser.add_argument(
        "--keys",
        metavar="RUN",
        help="compute the vectors with the float encoder of this training run, a large key model that the "
        "encoder was trained to land on; queries need the encoder only. Needs torch",
    )
    parser.add_argument("--engine", metavar="ENGINE", help="inference engine (default: the first that fits)")
    parser.add_argument("--json", action="store_true", help=_HELP_JSON)
    parser.set_defaults(run=run_add)


def run_add(args: argparse.Namespace) -> int:
    """Add images and print what became of them."""
    from edgesim.errors import InputError
    from edgesim.runtime.matcher import Matcher

    labels = parse_labels(args.label)
    keys = None if args.keys is None else _key_encoder(args.keys)
    with Matcher(args.index, args.encoder, args.engine, create=True) as matcher:
        try:
            report = matcher.add(args.paths, labels, progress=True, keys=keys)
        except KeyboardInterrupt as interruption:
            if not interruption.args:
                raise
            print(f"edgesim: {interruption}", file=sys.stderr)
            return 130
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
        skipped = [{"path": path, "reason": reason} for path, reason in report.skipped]
        counts = {"added": report.added, "updated": report.updated, "unchanged": report.unchanged}
        _print_json({"index": str(args.index), **counts, "skipped": skipped, "entries": entries})
        return
    print(
        f"{args.index}: {report.added} added, {report.updated} updated, {report.unchanged} unchanged, "
        f"{len(report.skipped)} skipped; {entries} entries"
    )


def _print_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=2))


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
        _print_json([dataclasses.asdict(entry) for entry in entries])
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
        _print_json(stats)
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
        ("search graph", stats["graph"]),
        *([("recall", _recall_line(stats["graph_settings"]))] if stats["graph_settings"] else []),
        ("labels", ", ".join(labels) or "none"),
        *((name, f"{size} bytes") for name, size in stats["bytes"].items()),
    ]


def _recall_line(settings: dict[str, Any]) -> str:
    return (
        f"{settings['measured']:.4f} of the {settings['k']} nearest found ({settings['recall']} asked for, "
        f"{settings['queries']} searches among {settings['entries']} entries) with M {settings['m']}, "
        f"ef_construction {settings['ef_construction']}, ef_search {settings['ef_search']}"
    )


def run_rebuild(args: argparse.Namespace) -> int:
    """Build the search graph anew."""
    from edgesim.runtime.index import Index

    with Index.open(args.index) as index:
        rebuilt = index.rebuild_graph(args.recall, args.k)
        settings = index.graph_settings()
        print(
            f"{args.index}: search graph of {len(index)} entries rebuilt"
            + (f"; {_recall_line(settings.to_dict())}" if args.recall and settings else "")
            if rebuilt
            else f"{args.index}: {len(index)} entries are searched exactly and need no search graph"
        )
    return 0
