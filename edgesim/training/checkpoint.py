"""Encoders on disk: weights, architecture and model spec in one file, loaded without running code from it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from edgesim.errors import BundleError
from edgesim.files import write_atomic
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig

FORMAT_VERSION = 2
# The files of a run folder; see edgesim.training.metric_learning.
CONFIG_FILE, CHECKPOINT_FILE, ENCODER_FILE = "config.toml", "checkpoint.pt", "encoder.pt"


def save_torch(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary of tensors and plain values so that a crash leaves the old file or the new one."""
    stream = io.BytesIO()
    torch.save(content, stream)
    write_atomic(path, stream.getvalue())


def load_torch(path: Path) -> dict[str, Any]:
    """Read what `save_torch` wrote. Only tensors and plain values are accepted. Raises `BundleError`."""
    try:
        _check_archive(path)
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BundleError(f"{path}: no such checkpoint; make one with: edgesim train") from error
    except Exception as error:  # torch reports a damaged archive in many types
        raise BundleError(f"{path}: not a checkpoint of edgesim, or damaged") from error
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        raise BundleError(f"{path}: not a checkpoint of format {FORMAT_VERSION}; train it again")
    return content


def _check_archive(path: Path) -> None:
    # torch writes a CRC-32 with every tensor and never looks at it again: a flipped bit would pass unseen.
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(damaged)


def save_encoder(path: Path, encoder: Encoder, spec: ModelSpec) -> None:
    """Write an encoder with all that is needed to rebuild and to feed it."""
    save_torch(
        path,
        {
            "format_version": FORMAT_VERSION,
            "spec": spec.to_dict(),
            "config": encoder.config.to_dict(),
            "weights": encoder.state_dict(),
        },
    )


def load_encoder(path: Path) -> tuple[Encoder, ModelSpec]:
    """Read an encoder, in evaluation mode, and its spec. `path` is the file or the run folder that holds it.

    Raises:
        BundleError: no such file, damaged, or of another format version.
    """
    path = path / ENCODER_FILE if path.is_dir() else path
    content = load_torch(path)
    try:
        encoder = Encoder(EncoderConfig.from_dict(content["config"]))
        encoder.load_state_dict(content["weights"])
        spec = ModelSpec.from_dict(content["spec"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: not an encoder checkpoint, or damaged") from error
    return encoder.eval(), spec


def weights_sha256(encoder: Encoder) -> str:
    """Return the SHA-256 of all weights and statistics, by name, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
