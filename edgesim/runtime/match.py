"""An answer to a query."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

# Imported where it is used: only calibrated indexes need it.
if TYPE_CHECKING:
    from edgesim.thresholds import Verdict


@dataclasses.dataclass(frozen=True)
class Match:
    """One answer to a query.

    Attributes:
        similarity: cosine of the angle between the two embeddings, -1 to 1.
        path: absolute path of the image found.
        labels: its labels.
        entry_id: names that path with that content.
        score: the similarity, normalised where the index has a background; None where it is not calibrated.
        verdict: what the score means, `match`, `unsure` or `no match`; None where it is not calibrated.
    """

    similarity: float
    path: str
    labels: dict[str, str]
    entry_id: int
    score: float | None = None
    verdict: Verdict | None = None
