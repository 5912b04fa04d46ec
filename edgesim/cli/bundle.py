"""`edgesim bundle`: check a bundle on this machine, or show what it holds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgesim.cli import COMMANDS
from edgesim.cli.encoders import BUILTIN_NAMES

if TYPE_CHECKING:
    from edgesim.bundle import Bundle

_HELP_BUNDLE = f"{BUILTIN_NAMES}, or the folder of a bundle"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its actions to the parser."""
    parser = subparsers.add_parser(
        "bundle",
        help=COMMANDS["bundle"],
        description="A bundle is a folder with all that a device needs to compute embeddings. Two are\n"
        "built in, copy and similar. These names win over folders called so, which ./copy reaches.",
        epilog="example:\n  edgesim bundle verify copy\n  edgesim bundle show copy\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    verify = actions.add_parser(
        "verify",
        help="check every byte, and recompute the golden embeddings",
        description="Check every file against the manifest, and recompute the golden embeddings here.",
        epilog="example:\n  edgesim bundle verify copy --engine litert\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument("bundle", metavar="BUNDLE", help=_HELP_BUNDLE)
    verify.add_argument("--engine", metavar="ENGINE", help="inference engine (default: the first that fits)")
    verify.set_defaults(run=run_verify)
    show = actions.add_parser(
        "show",
        help="print what a bundle holds",
        description="Print a bundle's encoder, model files and the results of its export gates.",
        epilog="example:\n  edgesim bundle show copy --json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    show.add_argument("bundle", metavar="BUNDLE", help=_HELP_BUNDLE)
    show.add_argument("--json", action="store_true", help="print everything, as JSON")
    show.set_defaults(run=run_show)


def run_verify(args: argparse.Namespace) -> int:
    """Check a bundle's files and its golden embeddings."""
    from edgesim.runtime.embedder import SELF_TEST_COSINE, Embedder, open_bundle

    bundle = open_bundle(args.bundle)
    print(f"{bundle.folder}: every file is as the manifest says")
    embedder = Embedder(bundle, args.engine)
    lowest = embedder.self_test()
    print(
        f"{embedder.engine} {embedder.engine_version}: reproduces the golden embeddings, "
        f"lowest cosine {lowest:.4f} (limit {SELF_TEST_COSINE})"
    )
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print what a bundle holds."""
    from edgesim.runtime.embedder import open_bundle

    bundle = open_bundle(args.bundle)
    print(_json(bundle) if args.json else _text(bundle))
    return 0


def _json(bundle: Bundle) -> str:
    import json

    facts = {
        "folder": str(bundle.folder),
        "encoder_id": bundle.encoder_id,
        "spec": bundle.spec.to_dict(),
        "models": bundle.models,
        "recipe": bundle.recipe,
        "gates": bundle.gates,
        "made_by": bundle.made_by,
    }
    return json.dumps(facts, indent=2)


def _text(bundle: Bundle) -> str:
    from edgesim.cli.tables import format_table

    spec = bundle.spec
    lines = [
        f"encoder: {bundle.title}",
        f"input: {spec.input_size}x{spec.input_size} RGB pixels",
        f"embedding: {spec.embedding_dim} numbers",
        *(
            f"{name} model: {bundle.model_path(name).stat().st_size} bytes, {model['quantisation']}"
            for name, model in bundle.models.items()
        ),
        f"made by: {', '.join(f'{name} {version}' for name, version in bundle.made_by.items())}",
    ]
    columns = ("gate", "model", "value", "limit", "passed")
    gates = [[str(gate[column]) for column in columns] for gate in bundle.gates]
    return "\n".join(lines) + (f"\n\n{format_table(columns, gates)}" if gates else "")
