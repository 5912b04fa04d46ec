"""The results of an export's gates as a table: for `edgesim export` and `edgesim bundle show`."""

from __future__ import annotations

from typing import Any

from edgesim.cli.tables import format_table

_SIGNS = {
    "bytes": "<",
    "cosine_mean": ">=",
    "cosine_worst": ">=",
    "recall_at_1_loss": "<=",
    "float_operators": "of",
    "peak_memory": "<=",
    "latency": "<=",
}
RESULTS = {True: "pass", False: "FAIL", None: "not measured here"}


def format_gates(gates: list[dict[str, Any]]) -> str:
    """Return the table of gates, as `Bundle.gates` holds them; those of older bundles have no notes."""
    rows = [
        (
            gate["model"],
            gate["gate"],
            "-" if gate["value"] is None else str(gate["value"]),
            f"{_SIGNS.get(gate['gate'], '')} {gate['limit']}".strip(),
            RESULTS[gate["passed"]],
            gate.get("note", ""),
        )
        for gate in gates
    ]
    return format_table(("model", "gate", "value", "limit", "result", "note"), rows)


def describe_failures(gates: list[dict[str, Any]]) -> str | None:
    """Return one line about the gates that failed, or None."""
    names = [f"{gate['model']} {gate['gate']}" for gate in gates if gate["passed"] is False]
    return f"fails {len(names)} of {len(gates)} gates: {', '.join(names)}" if names else None
