"""What a training run says about itself; files that are missing or damaged say nothing."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any


def run_config(run: Path) -> dict[str, Any]:
    """Return the settings in a run folder's `config.toml`."""
    try:
        return tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def run_metrics(run: Path) -> dict[str, Any]:
    """Return what a run folder's `metrics.json` says was measured after training."""
    try:
        values = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
