"""The model card of a bundle: the one written at training, or else what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesim.model_spec import ModelSpec
from edgesim_export.run_records import run_config, run_metrics
from edgesim_export.validate import Gate, failed

CARD = "model_card.md"


def model_card(run: Path, spec: ModelSpec, encoder_id: str, parameters: int, gates: list[Gate]) -> str:
    """Return the text of `model_card.md` in the checkpoint's folder, or one that says what is known.

    Args:
        run: folder of the checkpoint.
        spec, encoder_id, parameters: of the encoder.
        gates: what the export measured.
    """
    written = run / CARD
    if written.is_file():
        return written.read_text(encoding="utf-8") + _warning(gates)
    training = run_config(run)
    recorded = ("loss", "positives", "epochs", "seed")
    settings = {key: value for key, value in training.items() if key in recorded}
    lines = [
        f"# {spec.name} ({encoder_id})",
        "",
        "No model card was written at training; this one holds what the export knew.",
        "",
        f"- Encoder: {parameters:,} parameters; input {spec.input_size}x{spec.input_size} RGB; "
        f"embedding of {spec.embedding_dim} numbers.",
        f"- Trained on: {Path(str(training.get('data', ''))).name or 'not recorded'}",
        f"- Training settings: {_join(settings)}",
        f"- Measured after training, on held-out images: {_join(run_metrics(run))}",
        "- Licence of the training images, intended use, known weaknesses: not recorded. "
        "Write them down before you pass the encoder on.",
        "",
        "Int8 against float, measured at export:",
        "",
        *(_line(gate) for gate in gates if gate.passed is not None),
    ]
    return "\n".join(lines) + "\n" + _warning(gates)


def _warning(gates: list[Gate]) -> str:
    """Return the section about gates that failed; empty if none did."""
    lines = [_line(gate) for gate in failed(gates)]
    if not lines:
        return ""
    text = "This bundle was written with --force although it fails what was asked of it:"
    return "\n".join(["", "## Failed gates", "", text, "", *lines]) + "\n"


def _line(gate: Gate) -> str:
    return f"- {gate.model} {gate.gate}: {gate.value} (limit {gate.limit})"


def _join(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "not recorded"
