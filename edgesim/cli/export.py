"""`edgesim export`: from a trained encoder to a checked int8 bundle for a device."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli import bundle_kit
from edgesim.cli.encoders import BUILTIN_NAMES, find_checkpoint
from edgesim.cli.export_findings import print_findings, read_sensitivity
from edgesim.cli.parsers import Subparsers, add_command, add_json_option

if TYPE_CHECKING:
    from edgesim.bundle import Bundle
    from edgesim.errors import MissingDependencyError
    from edgesim_export.validate import GatesFailedError

_EPILOG = """\
Every model is checked against the float encoder, and with --profile against the device's budgets. Where a
gate fails, nothing is written but BUNDLE.report.json (exit status 7).

example:
  edgesim export copy --profile pi-4b --format both --out pi-bundle
  edgesim export runs/parts --calibration parts/ --out parts-bundle
  edgesim export runs/parts --recipe auto --profile pi-4b --sensitivity layers --out parts-bundle
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers,
        "export",
        "Quantise a trained encoder to int8, check it against the float encoder and pack the "
        "bundle for a device. Needs: pip install 'edgesim[export]'.",
        _EPILOG,
    )
    parser.add_argument("source", metavar="RUN", help=f"{BUILTIN_NAMES}, a run folder, or its encoder.pt")
    parser.add_argument("--out", required=True, type=Path, metavar="BUNDLE", help="folder to write")
    parser.add_argument(
        "--format", choices=("onnx", "tflite", "both"), default="both", help="model files (default: both)"
    )
    parser.add_argument("--profile", metavar="PROFILE", help="the device: see edgesim profiles")
    parser.add_argument(
        "--recipe",
        action="append",
        default=[],
        metavar="RECIPE",
        help="a recipe's name or TOML file, once for each format (default: FORMAT_static_w8a8_pc_p9999); or "
        "auto: try all that the device can run, print what each costs and loses, and take the best",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="images like those the device will see (default: those of the run, else sample photographs)",
    )
    parser.add_argument("--name", help="the encoder's name (default: the one it was trained under)")
    parser.add_argument("--author", default="", help="who made the encoder, written into the model files")
    parser.add_argument("--licence", default="", help="licence of the weights, written into the model files")
    parser.add_argument(
        "--check-wheels",
        action="store_true",
        help="download what the profile's device needs, to see that pip finds it: needs a network",
    )
    parser.add_argument(
        "--sensitivity",
        type=Path,
        metavar="FOLDER",
        help="also measure what each layer loses by int8: sensitivity.json and sensitivity.html",
    )
    bundle_kit.add_kit_option(parser)
    parser.add_argument("--force", action="store_true", help="write the bundle even if a gate fails")
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle at BUNDLE")
    add_json_option(parser, "print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and print what was measured; also when a gate fails."""
    bundle_kit.check_kit_option(args)
    try:
        from edgesim_export.validate import GatesFailedError

        bundle = _export(args)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    except GatesFailedError as error:
        _print_failure(error, args)
        raise
    _print(bundle, args)
    _warn(bundle)
    bundle_kit.make_exported_kit(args, bundle)
    return 0


def _export(args: argparse.Namespace) -> Bundle:
    from edgesim.profiles import load_profile
    from edgesim_export.export_request import ExportRequest
    from edgesim_export.pipeline import export_bundle

    request = ExportRequest(
        checkpoint=find_checkpoint(args.source),
        out=args.out,
        formats=("onnx", "tflite") if args.format == "both" else (args.format,),
        recipes=tuple(args.recipe),
        profile=load_profile(args.profile) if args.profile else None,
        calibration=args.calibration,
        name=args.name,
        overwrite=args.overwrite,
        check_wheels=args.check_wheels,
        force=args.force,
        author=args.author,
        licence=args.licence,
        sensitivity=args.sensitivity,
    )
    return export_bundle(request, bundle_kit.show_progress)


def _missing(error: ModuleNotFoundError) -> MissingDependencyError:
    import platform

    from edgesim.errors import MissingDependencyError, missing_dependency

    missing_dependency(error, "edgesim export")  # raises `error` again if it is a defect
    module = (error.name or "").split(".")[0]
    if module in ("litert_torch", "ai_edge_quantizer") and platform.machine() not in ("x86_64", "AMD64"):
        return MissingDependencyError(
            f"the converter to TFLite needs the package {module}, which exists for x86-64 only; "
            "export on such a machine, or pass --format onnx"
        )
    return MissingDependencyError(
        f"edgesim export needs the package {module}, which is not installed. "
        "Run: pip install 'edgesim[export]'"
    )


def _print(bundle: Bundle, args: argparse.Namespace) -> None:
    if args.json:
        from edgesim.cli.json_output import print_json

        result = {
            "bundle": str(bundle.folder),
            "name": bundle.spec.name,
            "encoder_id": bundle.encoder_id,
            "models": bundle.models,
            "recipe": bundle.recipe,
            "gates": bundle.gates,
        }
        print_json(result | read_sensitivity(args.sensitivity))
        return
    from edgesim.cli.gates import format_gates
    from edgesim.cli.tables import format_table

    print_findings(bundle.recipe.get("auto"), args.sensitivity)
    files = [
        (facts["file"], f"{facts['bytes']:,}", facts["quantisation"]) for facts in bundle.models.values()
    ]
    print(format_table(("file", "bytes", "quantisation"), files) + "\n")
    print(format_gates(bundle.gates))
    images = bundle.recipe["calibration"]
    others = "others" if images["disjoint"] else "of the same"
    print(
        f"\ncalibrated on {images['calibration_images']} images made from {images['calibration_pictures']} "
        f"pictures of {images['source']!r}, measured on {images['heldout_pictures']} {others} and "
        f"{images['heldout_queries']} edited copies"
    )
    print(f"wrote {bundle.folder}: {bundle.title}")


def _print_failure(error: GatesFailedError, args: argparse.Namespace) -> None:
    gates = [gate.to_dict() for gate in error.gates]
    if args.json:
        from edgesim.cli.json_output import print_json

        result = {"bundle": None, "report": str(error.report) if error.report else None, "gates": gates}
        tried = {"auto": error.tried} if error.tried else {}
        print_json(result | tried | read_sensitivity(args.sensitivity))
        return
    from edgesim.cli.gates import format_gates

    print_findings(error.tried, args.sensitivity)
    print(format_gates(gates))


def _warn(bundle: Bundle) -> None:
    from edgesim.cli.gates import describe_failures

    failures = describe_failures(bundle.gates)
    if failures:
        print(f"edgesim: warning: written with --force, {bundle.folder} {failures}", file=sys.stderr)
