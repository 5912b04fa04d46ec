"""Writing a bundle (edgesim.bundle) so that a crash leaves all of it or nothing."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, StorageError
from edgesim.files import sync_folder
from edgesim.manifest import FORMAT_VERSION, MANIFEST, manifest_text
from edgesim.model_spec import ModelSpec


def golden_bytes(images: list[bytes], embeddings: dict[str, NDArray[np.float32]]) -> bytes:
    """Pack golden images (PNG files' bytes) and their embeddings per model format, for `write_bundle`."""
    arrays: dict[str, Any] = {f"image_{i}": np.frombuffer(data, np.uint8) for i, data in enumerate(images)}
    arrays |= {f"embeddings_{name}": values for name, values in embeddings.items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, count=np.int64(len(images)), **arrays)
    return stream.getvalue()


def write_bundle(
    folder: Path,
    *,
    spec: ModelSpec,
    encoder_id: str,
    models: dict[str, dict[str, Any]],
    recipe: dict[str, Any],
    gates: list[dict[str, Any]],
    made_by: dict[str, str],
    files: dict[str, bytes],
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle so that a crash leaves either nothing or all of it at `folder`.

    Args:
        folder: must not exist, unless `overwrite` is given and it holds a bundle.
        spec, encoder_id, models, recipe, gates, made_by: see `Bundle`.
        files: file name -> content, for every file but the manifest.
        overwrite: replace the bundle that is there; if that fails, it is kept.

    Raises:
        BundleError: `folder` exists.
        StorageError: the disk is full or read-only.
    """
    if folder.exists() and not (overwrite and (folder / MANIFEST).exists()):
        raise BundleError(f"{folder}: already exists; choose another folder or pass --overwrite")
    manifest = {
        "format_version": FORMAT_VERSION,
        "spec": spec.to_dict(),
        "encoder_id": encoder_id,
        "models": models,
        "recipe": recipe,
        "gates": gates,
        "made_by": made_by,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _replace_folder(folder, {**files, MANIFEST: manifest_text(manifest)})
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return Bundle.load(folder)


def _replace_folder(folder: Path, files: dict[str, bytes]) -> None:
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        temporary.chmod(0o755)
        for name, content in files.items():
            with (temporary / name).open("wb") as stream:
                stream.write(content)
                stream.flush()
                # Left to the kernel, a power cut after the rename could leave empty files in place.
                os.fsync(stream.fileno())
        _move_into_place(temporary, folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _move_into_place(temporary: Path, folder: Path) -> None:
    if not folder.exists():
        temporary.rename(folder)
        return
    # The old bundle goes only when the new one stands.
    old = temporary.with_name(f"{temporary.name}.old")
    folder.rename(old)
    try:
        temporary.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
