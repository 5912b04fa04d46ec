"""What an index remembers about the encoder and the key model that made it, and the refusal of any other."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.builtin import ENCODERS, bundle_folder
from edgesim.bundle import Bundle
from edgesim.errors import BundleError, EncoderMismatchError
from edgesim.model_spec import ModelSpec
from edgesim.runtime.database import damaged

if TYPE_CHECKING:
    from edgesim.runtime.keys import KeyModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexFacts:
    """The encoder of an index.

    Attributes:
        encoder_id: see `ModelSpec.encoder_id`.
        spec: the encoder's name, preprocessing and embedding size.
        bundle: the name of a built-in encoder, or the absolute path of the bundle that it came in.
        keys: the model that the vectors come from, where that is not the encoder itself.
    """

    encoder_id: str
    spec: ModelSpec
    bundle: str
    keys: KeyModel | None = None

    @classmethod
    def of(cls, bundle: Bundle, keys: KeyModel | None = None) -> IndexFacts:
        """Return the facts for a new index that a bundle will search."""
        location = _builtin_name(bundle) or str(bundle.location.absolute())
        return cls(encoder_id=bundle.encoder_id, spec=bundle.spec, bundle=location, keys=keys)

    @property
    def title(self) -> str:
        """The encoder's name and identity, as messages print them."""
        return f"{self.spec.name} ({self.encoder_id})"

    def check_encoder(self, folder: Path, bundle: Bundle) -> None:
        """Raise `EncoderMismatchError` unless the bundle holds the encoder of the index in `folder`."""
        if bundle.encoder_id != self.encoder_id:
            raise EncoderMismatchError(
                f"{folder}: made with {self.bundle}, the encoder {self.title}, and "
                f"{_builtin_name(bundle) or bundle.location} holds the encoder {bundle.title}, whose vectors "
                "cannot be compared; pass --encoder with the first, or make a new index with the second "
                f"(they differ in {self._difference(bundle)})"
            )

    def _difference(self, bundle: Bundle) -> str:
        mine, other = self.spec.to_dict(), bundle.spec.to_dict()
        names = [name for name in mine if name != "name" and mine[name] != other[name]]
        return ", ".join(f"{name}: {mine[name]} and {other[name]}" for name in names) or "weights"

    def check_keys(self, folder: Path, keys: KeyModel | None) -> None:
        """Raise `EncoderMismatchError` unless new vectors come from where those of the index come from.

        Args:
            folder: of the index.
            keys: the key model that computes the new vectors, None for the encoder itself.
        """
        if keys == self.keys:
            return
        cure = "leave out --keys" if self.keys is None else "pass --keys with the run of the first"
        raise EncoderMismatchError(
            f"{folder}: holds vectors of {self._source(self.keys)}, and those of {self._source(keys)} cannot "
            f"be mixed with them; {cure}, or make a new index with the second"
        )

    def check_same(self, folder: Path, source: Path, encoder_id: str, keys: KeyModel | None) -> None:
        """Raise `EncoderMismatchError` unless the vectors in `source` may be taken into the index `folder`.

        Args:
            folder: of the index.
            source: where the vectors are.
            encoder_id: of the encoder that `source` was made for.
            keys: the key model that they come from, None for the encoder itself.
        """
        if (encoder_id, keys) == (self.encoder_id, self.keys):
            return
        theirs = f"the encoder {encoder_id}" if keys is None else f"the key model {keys.title}"
        raise EncoderMismatchError(
            f"{folder}: holds vectors of {self._source(self.keys)}, and {source} those of {theirs}, which "
            "cannot be compared with them; make a new index with the second"
        )

    def _source(self, keys: KeyModel | None) -> str:
        return f"the encoder {self.title}" if keys is None else f"the key model {keys.title}"

    def to_rows(self) -> dict[str, Any]:
        """Return what the table `meta` of a new index holds."""
        # Left out of an ordinary index, as older ones lack it.
        keys = {"key_model_id": self.keys.encoder_id, "key_model_name": self.keys.name} if self.keys else {}
        return {
            "encoder_id": self.encoder_id,
            "encoder_name": self.spec.name,
            "embedding_dim": str(self.spec.embedding_dim),
            "spec": json.dumps(self.spec.to_dict()),
            "bundle": os.fsencode(self.bundle),
            **keys,
        }

    @classmethod
    def from_rows(cls, folder: Path, rows: dict[str, Any]) -> IndexFacts:
        """Read what `to_rows` returned, of the index in `folder`; `IndexStoreError` if it is damaged."""
        try:
            spec = ModelSpec.from_dict(json.loads(rows["spec"]))
            keys = None
            if "key_model_id" in rows:
                from edgesim.runtime.keys import KeyModel  # few indexes have one

                keys = KeyModel(rows["key_model_name"], rows["key_model_id"])
            bundle = os.fsdecode(rows["bundle"])
            return cls(encoder_id=rows["encoder_id"], spec=spec, bundle=bundle, keys=keys)
        except (KeyError, TypeError, ValueError, BundleError) as error:
            raise damaged(folder, f"table meta: {error}") from error


def _builtin_name(bundle: Bundle) -> str | None:
    """Return the built-in encoder whose bundle this is, or None."""
    folder = bundle.folder.absolute()
    return next((name for name in ENCODERS if folder == bundle_folder(name)), None)
