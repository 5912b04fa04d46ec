"""What stands beside a search graph on disk: from which state of the entries it was made, and by what.

graph.json    generation, vectors, entries, next_id    the version of the entries (edgesim.runtime.versions)
              encoder_id, key_model_id, embedding_dim, hnswlib, platform    what made the graph
              sha256    of graph.hnsw
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import struct
import sys
from pathlib import Path
from typing import Any

from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.reader import EntryReader
from edgesim.runtime.versions import Version

# The largest checksum of a vector.
_MAX_DIGEST = 2**32 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """The content of graph.json.

    Attributes:
        version: of the entries when the graph was written. Earlier programs wrote its first two numbers only;
            these name it.
        made_by: see `made_by`.
        sha256: of graph.hnsw.
    """

    version: Version
    made_by: dict[str, Any]
    sha256: str

    @classmethod
    def from_bytes(cls, content: bytes) -> GraphFacts:
        """Read what `to_bytes` returned. Raises `ValueError`."""
        try:
            values = dict(json.loads(content))
            numbers = {name: values.pop(name) for name in Version._fields if name in values}
            if not all(isinstance(number, int) for number in numbers.values()):
                raise ValueError(f"expected whole numbers, got {numbers}")
            return cls(version=Version(**numbers), sha256=values.pop("sha256"), made_by=values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no facts about a graph: {error}") from error

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        numbers = {name: number for name, number in self.version._asdict().items() if number is not None}
        values = {**numbers, **self.made_by, "sha256": self.sha256}
        return (json.dumps(values, indent=2) + "\n").encode()


def made_by(facts: IndexFacts) -> dict[str, Any]:
    """Return what a graph must have been made by to be of use here, for an index with these facts."""
    keys = facts.keys
    return {
        "encoder_id": facts.encoder_id,
        **({"key_model_id": keys.encoder_id} if keys else {}),
        "embedding_dim": facts.spec.embedding_dim,
        # hnswlib writes its structures as they lie in memory, without saying which version wrote them.
        "hnswlib": _hnswlib_version(),
        "platform": f"{sys.byteorder}-endian, {8 * struct.calcsize('P')} bits",
    }


def _hnswlib_version() -> str:
    # The module does not say it, but the name of the folder that its installer put beside it does. Whoever
    # loads a graph comes here, and importlib.metadata takes 20 ms to import.
    spec = importlib.util.find_spec("hnswlib")
    if spec is not None and spec.origin is not None:
        beside = list(Path(spec.origin).parent.glob("hnswlib-*.dist-info"))
        if len(beside) == 1:
            return beside[0].stem.removeprefix("hnswlib-")
    from importlib import metadata

    try:
        return metadata.version("hnswlib")
    except metadata.PackageNotFoundError:
        return "unknown"


@dataclasses.dataclass(frozen=True)
class Lag:
    """How many entries came and went after the version `written`."""

    written: Version
    newer: int
    removed: int


def lag_behind(written: Version, store: EntryReader) -> Lag | None:
    """Return how far a version lies behind the entries; None if it is not one of these very entries.

    Told by counts and sums of checksums, so that a graph need not be read. What is taken for one of these
    entries in spite of that is found out by `edgesim.runtime.live_graph`.
    """
    with store.snapshot():
        now = store.version()
        if written.vectors is None or not written.next_id or now.vectors is None:
            return None
        newer = store.vector_digests(first=written.next_id)
    removed = written.entries + len(newer) - now.entries
    missing = written.vectors + sum(newer.values()) - now.vectors
    commits, changes = now.generation - written.generation, len(newer) + removed
    if commits < 0 or removed < 0 or (commits == 0) != (changes == 0):
        return None
    return Lag(written, len(newer), removed) if 0 <= missing <= removed * _MAX_DIGEST else None
