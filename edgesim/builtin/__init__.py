"""The encoder that ships with edgesim: its int8 bundle, its float checkpoint and its model card."""

from __future__ import annotations

from pathlib import Path

# What commands and indexes call it.
BUILTIN = "builtin"

_FOLDER = Path(__file__).parent


def bundle_folder() -> Path:
    """Return the folder of the built-in int8 bundle (ONNX and TFLite)."""
    return _FOLDER / "bundle"


def checkpoint_path() -> Path:
    """Return the built-in encoder's float checkpoint, which `edgesim export builtin` starts from."""
    return _FOLDER / "encoder.pt"
