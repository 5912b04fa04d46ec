"""`edgesim export`: from a trained encoder to a checked int8 bundle for a device."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli import COMMANDS
from edgesim.cli.encoders import BUILTIN_NAMES, find_checkpoint

if TYPE_CHECKING:
    from edgesim.bundle import Bundle
    from edgesim.errors import MissingDependencyError

_EPILOG = """\
Every model is checked against the float encoder; where one gate fails, nothing is written (exit status 7).

example:
  edgesim export copy --profile pi-4b --format both --out pi-bundle
  edgesim export runs/parts --calibration parts/ --out parts-bundle
"""
_SIGNS = {"bytes": "<", "cosine_mean": ">=", "cosine_worst": ">=", "recall_at_1_loss": "<="}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "export",
        help=COMMANDS["export"],
        description="Quantise a trained encoder to int8, check it against the float encoder and pack the "
        "bundle for a device. Needs: pip install 'edgesim[export]'.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
        help="a recipe's name or TOML file; once for each format (default: FORMAT_static_w8a8_pc)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="images like those the device will see (default: those of the run, else sample photographs)",
    )
    parser.add_argument("--name", help="the encoder's name (default: the one it was trained under)")
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle at BUNDLE")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and print what was measured; also when a gate fails."""
    try:
        from edgesim_export.validate import GatesFailedError

        bundle = _export(args)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    except GatesFailedError as error:
        _print_gates([gate.to_dict() for gate in error.gates], args.json)
        raise
    _print(bundle, args.json)
    return 0


def _export(args: argparse.Namespace) -> Bundle:
    from edgesim.profiles import load_profile
    from edgesim_export.pipeline import ExportRequest, export_bundle

    request = ExportRequest(
        checkpoint=find_checkpoint(args.source),
        out=args.out,
        formats=("onnx", "tflite") if args.format == "both" else (args.format,),
        recipes=tuple(args.recipe),
        profile=load_profile(args.profile) if args.profile else None,
        calibration=args.calibration,
        name=args.name,
        overwrite=args.overwrite,
    )
    return export_bundle(request, _show_progress)


def _show_progress(step: str) -> None:
    if sys.stderr.isatty():
        print(f"edgesim: {step} ...", file=sys.stderr)


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


def _print(bundle: Bundle, as_json: bool) -> None:
    if as_json:
        import json

        print(
            json.dumps(
                {
                    "bundle": str(bundle.folder),
                    "name": bundle.spec.name,
                    "encoder_id": bundle.encoder_id,
                    "models": bundle.models,
                    "recipe": bundle.recipe,
                    "gates": bundle.gates,
                }
            )
        )
        return
    from edgesim.cli.tables import format_table

    files = [
        (facts["file"], f"{facts['bytes']:,}", facts["quantisation"]) for facts in bundle.models.values()
    ]
    print(format_table(("file", "bytes", "quantisation"), files) + "\n")
    _print_gates(bundle.gates, as_json)
    images = bundle.recipe["calibration"]
    others = "others" if images["disjoint"] else "of the same"
    print(
        f"\ncalibrated on {images['calibration_images']} images made from {images['calibration_pictures']} "
        f"pictures of {images['source']!r}, measured on {images['heldout_pictures']} {others} and "
        f"{images['heldout_queries']} edited copies"
    )
    print(f"wrote {bundle.folder}: {bundle.title}")


def _print_gates(gates: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"bundle": None, "gates": gates}))
        return
    from edgesim.cli.tables import format_table

    rows = [
        (
            gate["model"],
            gate["gate"],
            str(gate["value"]),
            f"{_SIGNS.get(gate['gate'], 'of')} {gate['limit']}",
            "yes" if gate["passed"] else "NO",
        )
        for gate in gates
    ]
    print(format_table(("model", "gate", "value", "limit", "passed"), rows))
