"""What a hostile file is given to, and what may come of it; anything else is a finding."""

from __future__ import annotations

import atexit
import functools
import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, ImageError
from edgesim.manifest import MANIFEST, manifest_text
from edgesim.preprocess import load_pixels
from edgesim.runtime.onnx_structure import check_onnx
from edgesim.runtime.tflite_structure import check_tflite

# So small that the JPEG seeds are decoded at half their size.
SIZE = 4


def refusal(error: Exception, start: str = "") -> str:
    """Return the words of an error of ours."""
    words = str(error)
    assert re.fullmatch(re.escape(start) + r"[^\n]+", words), repr(words)
    assert "not enough memory" not in words, "more memory than is promised"
    return words


def decode(data: bytes) -> str:
    """Return the words of the refusal of an image, empty if it is decoded."""
    try:
        pixels = load_pixels(data, SIZE)
    except ImageError as error:
        return refusal(error, "image: ")
    assert (pixels.shape, pixels.dtype) == ((SIZE, SIZE, 3), np.dtype(np.uint8))
    return ""


def read_bundle(data: bytes) -> str:
    """Return the words of the refusal of a part of a bundle, empty if it is taken."""
    if data.lstrip().startswith(b"{"):
        return _read_manifest(data)
    try:
        (check_tflite if data[4:8] == b"TFL3" else check_onnx)(data)
    except UnicodeError:  # a ValueError, too, but none of ours
        raise
    except ValueError as error:
        return refusal(error)
    return ""


def _read_manifest(data: bytes) -> str:
    """Read a manifest whose digest fits, as whoever means harm would make it."""
    try:
        content = json.loads(data)
        content.pop("sha256", None)
        data = manifest_text(content)
    except (ValueError, RecursionError, AttributeError, TypeError):
        pass
    folder = _bundle_folder()
    (folder / MANIFEST).write_bytes(data)
    try:
        Bundle.load(folder)
    except BundleError as error:
        return refusal(error)
    return ""


@functools.cache
def _bundle_folder() -> Path:
    """Return a folder with an empty model file, the one that the seed's manifest names."""
    folder = Path(tempfile.mkdtemp(prefix="edgesim-fuzz-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "model.onnx").touch()
    return folder
