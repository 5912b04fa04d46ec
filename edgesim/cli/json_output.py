"""JSON as all commands write it: on standard output, as `--json` asks for it, and into files."""

from __future__ import annotations

import json


def json_text(value: object) -> str:
    """Return a value over several lines, without an end of line after the last."""
    return json.dumps(value, indent=2)


def print_json(value: object) -> None:
    """Print a value over several lines."""
    print(json_text(value))
