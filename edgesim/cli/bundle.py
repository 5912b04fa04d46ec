"""`edgesim bundle`: check a bundle on this machine, or show what it holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli import bundle_kit, bundle_signing, bundle_updates
from edgesim.cli.encoders import add_bundle_argument, add_engine_option
from edgesim.cli.parsers import Subparsers, add_action, add_command, add_json_option, example

if TYPE_CHECKING:
    from edgesim.bundle import Bundle


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions to the parser."""
    parser = add_command(
        subparsers,
        "bundle",
        "A bundle is a folder with all that a device needs to compute embeddings. Two are\n"
        "built in, copy and similar. These names win over folders called so, which ./copy reaches.",
        example("edgesim bundle verify copy", "edgesim bundle show copy"),
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    verify = add_action(
        actions,
        "verify",
        "check every byte and the signature, and recompute the golden embeddings",
        "Check every file against the manifest, check the signature if there is one, and\n"
        "recompute the golden embeddings here.",
        example("edgesim bundle verify copy --engine litert"),
    )
    add_bundle_argument(verify)
    add_engine_option(verify)
    verify.add_argument(
        "--public-key",
        type=Path,
        metavar="PATH",
        help="require a signature by this key, or by one of the *.pub files in this folder "
        "(default: as this device is configured)",
    )
    verify.set_defaults(run=run_verify)
    show = add_action(
        actions,
        "show",
        "print what a bundle holds",
        "Print a bundle's encoder, model files and the results of its export gates.",
        example("edgesim bundle show copy --json"),
    )
    add_bundle_argument(show)
    add_json_option(show, "print everything, as JSON")
    show.set_defaults(run=run_show)
    bundle_kit.add_kit(actions)
    bundle_signing.add_actions(actions)
    bundle_updates.add_actions(actions)


def run_verify(args: argparse.Namespace) -> int:
    """Check a bundle's files, its signature and its golden embeddings."""
    from edgesim.runtime.embedder import SELF_TEST_COSINE, Embedder, open_bundle

    bundle = open_bundle(args.bundle)
    print(f"{bundle.folder}: every file is as the manifest says")
    print(f"{bundle.folder}: {_signature(args, bundle)}")
    embedder = Embedder(bundle, args.engine)
    lowest = embedder.self_test()
    print(
        f"{embedder.engine} {embedder.engine_version}: reproduces the golden embeddings, "
        f"lowest cosine {lowest:.4f} (limit {SELF_TEST_COSINE})"
    )
    return 0


def _signature(args: argparse.Namespace, bundle: Bundle) -> str:
    """Check the signature; return what there is to say of it."""
    from edgesim.builtin import is_builtin
    from edgesim.signing import check_signature
    from edgesim.signing_keys import read_public_keys
    from edgesim.trust import required_keys

    keys = None if is_builtin(args.bundle) else required_keys()
    if args.public_key is not None:
        keys = read_public_keys(args.public_key)
    signature = check_signature(bundle, keys)
    if signature is None:
        return "not signed"
    trusted = "not compared with any trusted key" if keys is None else "a trusted key"
    return f"signed by the key {signature.key.fingerprint} ({trusted}), release {signature.release}"


def run_show(args: argparse.Namespace) -> int:
    """Print what a bundle holds."""
    from edgesim.runtime.embedder import open_bundle

    bundle = open_bundle(args.bundle)
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json(_report(bundle))
    else:
        print(_text(bundle))
    return 0


def _report(bundle: Bundle) -> dict[str, Any]:
    return {
        "folder": str(bundle.folder),
        "encoder_id": bundle.encoder_id,
        "spec": bundle.spec.to_dict(),
        "models": bundle.models,
        "recipe": bundle.recipe,
        "gates": bundle.gates,
        "made_by": bundle.made_by,
    }


def _text(bundle: Bundle) -> str:
    from edgesim.cli.gates import describe_failures, format_gates

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
    failures = describe_failures(bundle.gates)
    if failures:
        lines.insert(0, f"WARNING: written with --force, {failures}")
    return "\n".join(lines) + (f"\n\n{format_gates(bundle.gates)}" if bundle.gates else "")
