"""What `edgesim export` found out on the way: the recipes that it tried, and the losses of the layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesim.cli.tables import format_table

_TRIED = ("recipe", "engine", "bytes", "cosine mean", "worst", "recall@1 loss", "ms", "failed", "")
_LAYERS = ("layer", "operators", "alone: mean loss", "worst", "saved in float: mean", "worst")


def print_findings(tried: dict[str, Any] | None, sensitivity: Path | None) -> None:
    """Print a table of each, with an empty line after it; nothing of what was not asked for.

    Args:
        tried: what the bundle's recipe has under `auto`.
        sensitivity: folder of the report.
    """
    if tried is not None:
        print(format_table(_TRIED, [_tried_row(row) for row in tried["candidates"]]))
        print("\n" + "\n".join(tried["remarks"]) + "\n")
    for model in read_sensitivity(sensitivity).get("sensitivity", []):
        whole = model["whole"]
        print(
            f"{model['recipe']} by {model['engine']}, {model['pictures']} held-out pictures: "
            f"loss (1 - cosine) {whole['mean']:.2g}, worst {whole['worst']:.2g}"
        )
        if model["layers"]:
            print(format_table(_LAYERS, [_layer_row(row) for row in model["layers"]]))
        print()
    if sensitivity is not None:
        print(f"wrote {sensitivity / 'sensitivity.html'}\n")


def _tried_row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["recipe"],
        row["engine"],
        f"{row['bytes']:,}",
        f"{row['cosine_mean']:.5f}",
        f"{row['cosine_worst']:.5f}",
        f"{row['recall_at_1_loss']:g}",
        f"{row['milliseconds']:.2f}",
        ", ".join(row["failed"]) or "-",
        "picked" if row["picked"] else "",
    )


def _layer_row(row: dict[str, Any]) -> tuple[str, ...]:
    losses = (row[kind][part] for kind in ("alone", "saved") for part in ("mean", "worst"))
    return (row["layer"], ", ".join(row["operators"]), *(f"{loss:.2g}" for loss in losses))


def read_sensitivity(folder: Path | None) -> dict[str, Any]:
    """Return the report's losses under `sensitivity`; nothing without a folder."""
    if folder is None:
        return {}
    import json

    return {"sensitivity": json.loads((folder / "sensitivity.json").read_text())["models"]}
