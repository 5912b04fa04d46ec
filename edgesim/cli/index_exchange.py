"""`edgesim index export|import|merge`: entries out of an index and into it, without the images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.encoders import add_encoder_option
from edgesim.cli.parsers import Subparsers, add_action, add_index_argument, example

if TYPE_CHECKING:
    from edgesim.runtime.merging import TakeReport

_EXPORT = """\
Write all entries of an index into one file. NAME.npz and NAME.parquet hold everything, for NumPy or for
pandas, DuckDB and the like, and for edgesim index import (docs/index.md has their arrays and columns).
NAME.h5 or NAME.hdf5 is the file of the Image Similarity Challenge 2021, with paths and vectors only.
"""
_IMPORT = """\
Take the entries of a file into an index, without the images. The index is made if it is not there. Where both
have a path, the entry whose file was changed later is kept; labels are merged. HDF5 says nothing of that, so
the index's entries are kept, and nothing of the encoder, so --unchecked is asked for. So it is with a Parquet
file that another program wrote; the columns path and vector are enough.
"""
_MERGE = """\
Take all entries of other indexes of the same encoder into INTO, which is made if it is not there; the others
stay as they are. Where both have a path, the entry whose file was changed later is kept, and of equally old
ones that of INTO; labels are merged, and the kept entry's prevail. Calibrations are not taken.
"""


def add_actions(actions: Subparsers) -> None:
    """Add the actions to the parser of `edgesim index`."""
    export = add_action(
        actions,
        "export",
        "write the entries into a file",
        _EXPORT,
        example("edgesim index export parts parts.npz"),
    )
    add_index_argument(export)
    export.add_argument(
        "file", type=Path, metavar="FILE", help="name that ends with .npz, .parquet, .h5 or .hdf5"
    )
    export.set_defaults(run=run_export)
    taken = add_action(
        actions,
        "import",
        "take entries from a file",
        _IMPORT,
        example("edgesim index import parts parts.npz"),
    )
    add_index_argument(taken)
    taken.add_argument("file", type=Path, metavar="FILE", help="as edgesim index export writes it")
    add_encoder_option(taken, None, "that of the index; to be named for a new one")
    taken.add_argument(
        "--unchecked", action="store_true", help="take vectors whose file does not name their encoder"
    )
    taken.set_defaults(run=run_import)
    merge = add_action(
        actions,
        "merge",
        "take the entries of other indexes",
        _MERGE,
        example("edgesim index merge parts line-1/parts line-2/parts"),
    )
    merge.add_argument("into", type=Path, metavar="INTO", help="folder of the index that they go into")
    merge.add_argument("sources", nargs="+", type=Path, metavar="FROM", help="folder of another index")
    merge.set_defaults(run=run_merge)


def run_export(args: argparse.Namespace) -> int:
    """Write the entries of an index into a file."""
    import contextlib

    from edgesim.runtime.descriptor_files import write_file
    from edgesim.runtime.store import EntryStore

    with contextlib.closing(EntryStore.open(args.index, read_only=True)) as store:
        count = write_file(args.file, store)
    print(f"{args.file}: {count} entries of {args.index}")
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Take entries from a file."""
    from edgesim.runtime.merging import import_file

    _print_report(args.index, import_file(args.index, args.file, args.encoder, args.unchecked))
    return 0


def run_merge(args: argparse.Namespace) -> int:
    """Take the entries of other indexes."""
    from edgesim.runtime.merging import merge_indexes

    _print_report(args.into, merge_indexes(args.into, args.sources))
    return 0


def _print_report(index: Path, report: TakeReport) -> None:
    print(f"{index}: {report.added} added, {report.replaced} replaced, {report.kept} kept as they were")
