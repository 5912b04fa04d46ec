"""What an encoder expects of an image and what it returns: the facts that every side must agree on.

Training writes a `ModelSpec` into its checkpoint, export copies it into the bundle, the runtime preprocesses
by it and the index refuses vectors made under another one. Standard library only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from edgesim.errors import BundleError
from edgesim.names import nearest

# Raised whenever edgesim.preprocess changes what it computes from the same bytes.
PREPROCESS_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Input, output and preprocessing of one encoder.

    Attributes:
        name: what a person calls the encoder; letters, digits, `.`, `_` and `-`.
        input_size: height and width in pixels of the square RGB image that the network takes.
        embedding_dim: length of the L2-normalised float32 embedding.
        mean: per channel R, G, B, subtracted after scaling pixels to 0..1.
        std: per channel R, G, B, divided by afterwards.
        preprocess_version: `PREPROCESS_VERSION` of the code that the encoder was trained with.
    """

    name: str
    input_size: int
    embedding_dim: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    preprocess_version: int = PREPROCESS_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, the tuples as lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelSpec:
        """Build a spec from `to_dict`'s result; raises `BundleError` on unknown or missing keys."""
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for key in values:
            if key not in fields:
                raise BundleError(f"model spec has an unknown key {key!r}{nearest(key, fields)}")
        missing = [n for n, f in fields.items() if n not in values and f.default is dataclasses.MISSING]
        if missing:
            raise BundleError(f"model spec lacks the key {missing[0]!r}")
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)

    def encoder_id(self, weights_sha256: str) -> str:
        """Return the identity of spec and float weights together: 16 hexadecimal digits.

        Two model files exported from the same weights share it, whatever their format; an index made by
        one may be queried with the other.
        """
        canonical = json.dumps({"spec": self.to_dict(), "weights": weights_sha256}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
