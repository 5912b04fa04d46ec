"""What each converter hands back."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvertedModel:
    """An int8 model file.

    Attributes:
        content: the file.
        float_operators: types of the operators that are computed in float, one item for each.
    """

    content: bytes
    float_operators: list[str]
