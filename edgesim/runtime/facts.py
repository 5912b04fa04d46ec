"""What an index remembers about the encoder that made it, and the refusal of any other."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from edgesim.builtin import BUILTIN, bundle_folder
from edgesim.bundle import Bundle
from edgesim.errors import BundleError, EncoderMismatchError, IndexStoreError
from edgesim.model_spec import ModelSpec
from edgesim.runtime.database import damaged

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexFacts:
    """The encoder of an index.

    Attributes:
        encoder_id: see `ModelSpec.encoder_id`.
        spec: the encoder's name, preprocessing and embedding size.
        bundle: `builtin`, or the absolute path of the bundle that it came in.
    """

    encoder_id: str
    spec: ModelSpec
    bundle: str

    @classmethod
    def of(cls, bundle: Bundle) -> IndexFacts:
        """Return the facts for a new index made by a bundle."""
        folder = bundle.folder.absolute()
        location = BUILTIN if folder == bundle_folder() else str(folder)
        return cls(encoder_id=bundle.encoder_id, spec=bundle.spec, bundle=location)

    @property
    def title(self) -> str:
        """The encoder's name and identity, as messages print them."""
        return f"{self.spec.name} ({self.encoder_id})"

    def check_encoder(self, folder: Path, bundle: Bundle) -> None:
        """Raise `EncoderMismatchError` unless the bundle holds the encoder of the index in `folder`."""
        if bundle.encoder_id != self.encoder_id:
            raise EncoderMismatchError(
                f"{folder}: made by the encoder {self.title}, and {bundle.folder} holds the encoder "
                f"{bundle.title}, whose vectors cannot be compared; pass --bundle with the first, or make a "
                "new index with the second"
            )

    def to_rows(self) -> dict[str, Any]:
        """Return what the table `meta` of a new index holds."""
        return {
            "format_version": str(FORMAT_VERSION),
            "encoder_id": self.encoder_id,
            "encoder_name": self.spec.name,
            "embedding_dim": str(self.spec.embedding_dim),
            "spec": json.dumps(self.spec.to_dict()),
            "bundle": os.fsencode(self.bundle),
            "generation": "0",
        }

    @classmethod
    def from_rows(cls, folder: Path, rows: dict[str, Any]) -> IndexFacts:
        """Read the table `meta` of the index in `folder`. Raises `IndexStoreError` for another format."""
        version = rows.get("format_version")
        if version != str(FORMAT_VERSION):
            raise IndexStoreError(
                f"{folder}: index format {version}, this edgesim reads format {FORMAT_VERSION}; "
                "make the index again, or install the matching edgesim"
            )
        try:
            spec = ModelSpec.from_dict(json.loads(rows["spec"]))
            return cls(encoder_id=rows["encoder_id"], spec=spec, bundle=os.fsdecode(rows["bundle"]))
        except (KeyError, TypeError, ValueError, BundleError) as error:
            raise damaged(folder, f"table meta: {error}") from error
