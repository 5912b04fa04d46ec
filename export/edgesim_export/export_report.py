"""The report that an export leaves where a gate failed: what was asked for, what was measured, with what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgesim.errors import StorageError
from edgesim.files import write_atomic
from edgesim_export.validate import Gate


def report_path(out: Path) -> Path:
    """Return where the report of an export to the bundle `out` lies: beside it."""
    return out.with_name(f"{out.name}.report.json")


def write_report(out: Path, gates: Sequence[Gate], facts: dict[str, Any]) -> Path:
    """Write the report of a failed export to `out`, and return its path.

    Args:
        out: the bundle that was asked for.
        gates: all of them.
        facts: what else it is to hold, in plain JSON types.

    Raises:
        StorageError: it cannot be written.
    """
    path = report_path(out)
    content = {**facts, "gates": [gate.to_dict() for gate in gates]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())
    return path
