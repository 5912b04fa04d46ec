"""The bundle: one folder that holds all that a device needs to compute embeddings, and the proof of it.

    manifest.json     what is in the folder, with the SHA-256 of every other file and of itself
    model.onnx        float32 input (N, 3, S, S)                         \\  one of them
    model.tflite      input (1, S, S, 3) and output int8, or float32     /   or both
    golden.npz        a few images (as PNG files) and the embedding of each, per model file
    model_card.md     what the encoder was trained on, and what it was measured at

`Bundle.load` checks every byte; a self-test recomputes the golden embeddings (edgesim.runtime.embedder).
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import BundleError, StorageError
from edgesim.files import sha256_file, sync_folder
from edgesim.manifest import FORMAT_VERSION, MANIFEST, manifest_text, read_manifest
from edgesim.model_spec import ModelSpec

GOLDEN = "golden.npz"
MODEL_FILES = {"onnx": "model.onnx", "tflite": "model.tflite"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle on disk whose files have been checked.

    Attributes:
        folder: where it lies.
        location: what to open to get it again: its folder, or the store whose current bundle it is.
        files: names of all its files but the manifest.
        manifest_sha256: of the manifest's bytes, and so of every file: what a signature is made over.
        spec: preprocessing and embedding size.
        encoder_id: identity of spec and float weights (`ModelSpec.encoder_id`).
        models: format (`onnx`, `tflite`) -> facts of that model file: `file`, `quantisation`.
        recipe: how the float model was quantised, as a plain dictionary.
        gates: what export measured: dictionaries with `gate`, `model`, `value`, `limit`, `passed`.
        made_by: versions of the programs that made it.
    """

    folder: Path
    location: Path
    files: tuple[str, ...]
    manifest_sha256: str
    spec: ModelSpec
    encoder_id: str
    models: dict[str, dict[str, Any]]
    recipe: dict[str, Any]
    gates: list[dict[str, Any]]
    made_by: dict[str, str]

    @property
    def title(self) -> str:
        """The encoder's name and identity, as messages print them."""
        return f"{self.spec.name} ({self.encoder_id})"

    def model_path(self, model_format: str) -> Path:
        """Return the path of the model file of one format; raises `BundleError` if there is none."""
        if model_format not in self.models:
            raise BundleError(
                f"{self.folder}: holds no {model_format} model, only {', '.join(self.models)}; "
                f"export it with --format {model_format}"
            )
        return self.folder / str(self.models[model_format]["file"])

    def golden(self, model_format: str) -> tuple[list[bytes], NDArray[np.float32]]:
        """Return the golden images, as files' bytes, and their (N, D) embeddings by that model file.

        Raises `BundleError` if the file of them cannot be read.
        """
        path = self.folder / GOLDEN
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as golden:
                count = int(golden["count"])
                images = [golden[f"image_{i}"].tobytes() for i in range(count)]
                return images, golden[f"embeddings_{model_format}"].astype(np.float32)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise BundleError(
                f"{path}: holds no golden embeddings ({error}); export the bundle again"
            ) from error

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle and check every file against the manifest.

        Raises:
            BundleError: no bundle there, another format version, or a file that is missing or changed;
                the message names the file.
        """
        manifest = read_manifest(folder / MANIFEST)
        for name, expected in manifest["files"].items():
            _check_file(folder / name, expected)
        return cls(
            folder=folder,
            location=folder,
            files=tuple(manifest["files"]),
            manifest_sha256=hashlib.sha256(manifest_text(manifest)).hexdigest(),
            spec=ModelSpec.from_dict(manifest["spec"]),
            encoder_id=manifest["encoder_id"],
            models=manifest["models"],
            recipe=manifest["recipe"],
            gates=manifest["gates"],
            made_by=manifest["made_by"],
        )


def _check_file(path: Path, expected: str) -> None:
    if path.exists() and not path.is_file():  # a pipe would never end
        raise BundleError(f"{path}: not a file; copy the bundle again")
    try:
        actual = sha256_file(path)
    except OSError as error:
        raise BundleError(
            f"{path}: missing or unreadable ({error.strerror}); copy the bundle again"
        ) from error
    if actual != expected:
        raise BundleError(
            f"{path}: changed or damaged (SHA-256 {actual[:12]}, the manifest says {expected[:12]}); "
            "copy the bundle again"
        )


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
