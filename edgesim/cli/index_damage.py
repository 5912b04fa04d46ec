"""`edgesim index verify|repair`: find damage in an index, and save what can be saved."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.encoders import add_encoder_option
from edgesim.cli.parsers import Subparsers, add_action, add_index_argument, add_json_option, example

if TYPE_CHECKING:
    from edgesim.runtime.repair import Repair
    from edgesim.runtime.verify import Verification

_VERIFY = """\
Look for damage: every page and every entry of the index against its checksum, and the search graph against
the entries. Writes nothing.

exit status: 0 if there is no damage, 5 if there is
"""
_REPAIR = """\
Copy every entry that is intact into a new index, with its labels and vector; the images are not needed.
The damaged index is only read. What is lost is printed: add those images again.
"""


def add_actions(actions: Subparsers) -> None:
    """Add the actions to the parser of `edgesim index`."""
    verify = add_action(actions, "verify", "look for damage", _VERIFY, example("edgesim index verify parts"))
    add_index_argument(verify)
    add_json_option(verify, "print the result as JSON")
    verify.set_defaults(run=run_verify)
    repair = add_action(
        actions,
        "repair",
        "save what can be saved of a damaged index",
        _REPAIR,
        example("edgesim index repair parts --out parts-saved"),
    )
    add_index_argument(repair)
    repair.add_argument("--out", type=Path, required=True, metavar="NEW", help="folder of the new index")
    add_encoder_option(
        repair, None, "the one that the index remembers; name it if the index does not any more"
    )
    add_json_option(repair, "print the result as JSON")
    repair.set_defaults(run=run_repair)


def run_verify(args: argparse.Namespace) -> int:
    """Print what is damaged."""
    from edgesim.cli.json_output import print_json
    from edgesim.errors import IndexStoreError
    from edgesim.runtime.verify import verify_index

    found = verify_index(args.index)
    if args.json:
        print_json({"index": str(args.index), "intact": not found.damage, **vars(found)})
    else:
        print("\n".join(_verify_lines(args.index, found)))
    if found.damage:
        print(
            f"edgesim: {args.index}: damaged; restore it from a copy, or: {_cure(args.index, found)}",
            file=sys.stderr,
        )
        return IndexStoreError.exit_status
    return 0


def _verify_lines(index: Path, found: Verification) -> list[str]:
    lines = [f"{index}: {found.entries} entries are intact; search graph: {found.graph}", *found.damage]
    if found.format_version == 1:
        lines.append(
            f"{index}: format 1, without checksums; the next command that writes to it, such as "
            f"edgesim index rebuild {index}, adds them"
        )
    return lines


def _cure(index: Path, found: Verification) -> str:
    graph_only = all(line.startswith("graph.") for line in found.damage)
    return f"edgesim index rebuild {index}" if graph_only else f"edgesim index repair {index} --out NEW"


def run_repair(args: argparse.Namespace) -> int:
    """Save what can be saved, and print what could not."""
    from edgesim.cli.json_output import print_json
    from edgesim.runtime.embedder import open_bundle
    from edgesim.runtime.index import Index
    from edgesim.runtime.repair import repair_index

    bundle = None if args.encoder is None else open_bundle(args.encoder)
    repair = repair_index(args.index, args.out, bundle)
    with Index.open(args.out) as index:
        index.refresh_graph()
    if args.json:
        lost = [{"id": one.entry_id, "path": one.path, "fault": one.fault} for one in repair.lost]
        print_json({"index": str(args.index), "out": str(args.out), **vars(repair), "lost": lost})
    else:
        print("\n".join(_repair_lines(args.index, args.out, repair)))
    return 0


def _repair_lines(index: Path, out: Path, repair: Repair) -> list[str]:
    from edgesim.runtime.entry import one_line, printable

    lines = []
    for one in repair.lost:
        path = "path unknown" if one.path is None else one_line(printable(one.path))
        lines.append(f"lost entry {one.entry_id}, {path}: it {one.fault}")
    if repair.unnamed:
        lines.append(f"lost {repair.unnamed} more, of which nothing can be read")
    if repair.unnamed is None:
        lines.append("how many entries there were cannot be told")
    if repair.lost_settings:
        lines.append(f"settings may be lost; calibrate {out} again if {index} was calibrated")
    lost = len(repair.lost) + (repair.unnamed or 0)
    return [*lines, f"{out}: {repair.saved} entries saved, {lost} lost"]
