"""The encoders that ship with edgesim: of each its int8 bundle, its float checkpoint and its model card."""

from __future__ import annotations

import contextlib
from pathlib import Path

# What commands and indexes call them.
# copy: is it the same picture or the same item, edited? similar: has anything of this kind been seen?
ENCODERS = ("copy", "similar")
DEFAULT_ENCODER = "copy"

_FOLDER = Path(__file__).parent


def is_builtin(name: str) -> bool:
    """Return whether a name is that of a built-in encoder; such a name wins over a folder's."""
    return name in ENCODERS


def bundle_folder(name: str) -> Path:
    """Return the folder of a built-in encoder's int8 bundle (ONNX and TFLite)."""
    return _FOLDER / name / "bundle"


def is_shipped(manifest_sha256: str) -> bool:
    """Return whether the bundle of that manifest (`Bundle.manifest_sha256`) is one of these or its copy.

    The digest stands for every byte of it, so a copy is to be trusted as the installed package is.
    """
    # Parsers of commands import this module for the names.
    from edgesim.files import sha256_file
    from edgesim.manifest import MANIFEST

    for name in ENCODERS:
        # A device may have been spared the encoders that it does not use.
        with contextlib.suppress(OSError):
            if sha256_file(bundle_folder(name) / MANIFEST) == manifest_sha256:
                return True
    return False


def checkpoint_path(name: str) -> Path:
    """Return a built-in encoder's float checkpoint, which export and fine-tuning start from."""
    return _FOLDER / name / "encoder.pt"
