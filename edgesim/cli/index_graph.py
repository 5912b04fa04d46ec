"""`edgesim index rebuild`: build the search graph anew, with parameters chosen for a recall and a memory."""

from __future__ import annotations

import argparse
import math
from typing import Any

from edgesim.cli.parsers import Subparsers, add_action, add_index_argument, add_json_option, example

_REBUILD = "Build the search graph of a large index anew. Small ones are searched exactly, without."
# What a program that answers queries takes besides a graph: bench/README.md has the measured peak.
_QUERY_MIB = 70


def add_actions(actions: Subparsers) -> None:
    """Add the action to the parser of `edgesim index`."""
    rebuilt = add_action(
        actions,
        "rebuild",
        "build the search graph anew",
        _REBUILD,
        example("edgesim index rebuild parts", "edgesim index rebuild parts --recall 0.99 --memory 100"),
    )
    add_index_argument(rebuilt)
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
    memory = rebuilt.add_mutually_exclusive_group()
    memory.add_argument(
        "--memory",
        type=float,
        metavar="MIB",
        help="with --recall: the graph may take so much memory in a program that searches (default: any)",
    )
    memory.add_argument(
        "--profile",
        metavar="NAME",
        help="with --recall: as much memory as this device's budget leaves for it, see edgesim profiles",
    )
    add_json_option(rebuilt, "print the result as JSON")
    rebuilt.set_defaults(run=run_rebuild)


def run_rebuild(args: argparse.Namespace) -> int:
    """Build the search graph anew."""
    from edgesim.runtime.index import Index

    memory = _memory_limit(args)
    with Index.open(args.index) as index:
        rebuilt = index.rebuild_graph(args.recall, args.k, memory)
        settings, entries = index.graph_settings(), len(index)
    if args.json:
        from edgesim.cli.json_output import print_json

        kept = settings.to_dict() if settings else None
        print_json({"index": str(args.index), "entries": entries, "rebuilt": rebuilt, "graph_settings": kept})
    elif not rebuilt:
        print(f"{args.index}: {entries} entries are searched exactly and need no search graph")
    else:
        chosen = ""
        if args.recall and settings and settings.memory:
            chosen = f"; {recall_line(settings.to_dict())}: {settings.reason}, with "
            chosen += f"{settings.memory / 2**20:.0f} MiB of memory"
        print(f"{args.index}: search graph of {entries} entries rebuilt{chosen}")
    return 0


def _memory_limit(args: argparse.Namespace) -> int | None:
    """Return how many bytes the graph may take, None for any."""
    from edgesim.errors import UsageError
    from edgesim.profiles import load_profile

    option, mebibytes = "--memory", args.memory
    if args.profile is not None:
        option, mebibytes = "--profile", load_profile(args.profile).ram_budget_mb - _QUERY_MIB
    if mebibytes is None:
        return None
    if args.recall is None:
        raise UsageError(f"{option}: for which recall? Name it too, as with --recall 0.99")
    if not 0 < mebibytes < math.inf:
        raise UsageError(f"{option}: expected more than 0 MiB for the graph, got {mebibytes:g}")
    return int(mebibytes * 2**20)


def recall_line(settings: dict[str, Any]) -> str:
    """Return what the index keeps of the choice of its graph (`GraphSettings.to_dict`)."""
    return (
        f"{settings['measured']:.4f} of the {settings['k']} nearest found ({settings['recall']} asked for, "
        f"{settings['queries']} searches among {settings['entries']} entries) with M {settings['m']}, "
        f"ef_construction {settings['ef_construction']}, ef_search {settings['ef_search']}"
    )
