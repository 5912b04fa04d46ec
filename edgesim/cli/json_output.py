"""JSON on standard output, as `--json` asks for it."""

from __future__ import annotations

import json


def print_json(value: object) -> None:
    """Print a value over several lines."""
    print(json.dumps(value, indent=2))
