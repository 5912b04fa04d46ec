"""Is this a model file that is safe to hand to a native engine? Looked at before the engine sees it.

The manifest's SHA-256 finds damage, but whoever makes a hostile bundle writes a manifest that fits. A model
file must be whole, be of its format, and name no other file.
"""

from __future__ import annotations

import mmap
from pathlib import Path

from edgesim.errors import BundleError


def check_model_file(path: Path, model_format: str) -> None:
    """Raise `BundleError` if a model file cannot be one, or would have the engine read outside of it.

    Args:
        path: the file.
        model_format: `onnx` or `tflite`.
    """
    try:
        # Mapped, not read: the checks skip the weights.
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _check(content, model_format)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # of the checks, and of an empty file
        raise BundleError(
            f"{path}: refused, {error}; get the bundle again, from somebody you trust"
        ) from error


def _check(content: mmap.mmap, model_format: str) -> None:
    # A query needs one of the two.
    if model_format == "onnx":
        from edgesim.runtime.onnx_structure import check_onnx

        check_onnx(content)
    else:
        from edgesim.runtime.tflite_structure import check_tflite

        check_tflite(content)
