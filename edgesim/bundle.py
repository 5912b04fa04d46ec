"""The bundle: one folder that holds all that a device needs to compute embeddings, and the proof of it.

    manifest.json     what is in the folder, with the SHA-256 of every other file and of itself
    model.onnx        float32 input (N, 3, S, S)                         \\  one of them
    model.tflite      input (1, S, S, 3) and output int8, or float32     /   or both
    golden.npz        a few images (as PNG files) and the embedding of each, per model file
    model_card.md     what the encoder was trained on, and what it was measured at

`Bundle.load` checks every byte; a self-test recomputes the golden embeddings (edgesim.runtime.embedder).
`edgesim.bundle_writing` writes one.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import BundleError
from edgesim.files import sha256_file
from edgesim.manifest import MANIFEST, read_manifest
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
        import zipfile  # a query does without

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
        manifest, manifest_sha256 = read_manifest(folder / MANIFEST)
        for name, expected in manifest["files"].items():
            _check_file(folder / name, expected)
        return cls(
            folder=folder,
            location=folder,
            files=tuple(manifest["files"]),
            manifest_sha256=manifest_sha256,
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
