"""What all files of descriptors have in common: whose vectors they hold, and the entries they come to."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError
from edgesim.runtime.entry import Entry, NewEntry, check_labels, entry_path
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.keys import KeyModel
from edgesim.runtime.reader import normalised

FORMAT = "edgesim descriptors 1"
# What an entry has whose file nobody has looked at: adding the image computes its vector anew.
UNKNOWN: dict[str, Any] = {"sha256": "0" * 64, "size": 0, "mtime_ns": 0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescriptorFile:
    """What a file of descriptors holds.

    Attributes:
        parts: the entries, each with a vector, under an absolute path that no other has. May be gone through
            again and again; a large file is then read again.
        dim: D of the vectors.
        encoder_id: of the encoder of the index that it came from; None in a file that does not say.
        keys: the key model that the vectors come from, None for the encoder itself.
    """

    parts: Iterable[Sequence[NewEntry]]
    dim: int
    encoder_id: str | None = None
    keys: KeyModel | None = None


def origin_to_dict(facts: IndexFacts) -> dict[str, Any]:
    """Return in plain JSON types whose vectors an index holds: encoder_id, encoder_name, key_model."""
    keys = None if facts.keys is None else {"name": facts.keys.name, "id": facts.keys.encoder_id}
    return {"encoder_id": facts.encoder_id, "encoder_name": facts.spec.name, "key_model": keys}


def origin_from_dict(values: dict[str, Any]) -> dict[str, Any]:
    """Return `encoder_id` and `keys` of a `DescriptorFile`. Raises `KeyError` or `TypeError`."""
    keys = values["key_model"]
    return {
        "encoder_id": str(values["encoder_id"]),
        "keys": None if keys is None else KeyModel(str(keys["name"]), str(keys["id"])),
    }


def described(
    path: str, labels: dict[str, str], vector: NDArray[np.float32], *, sha256: str, size: int, mtime_ns: int
) -> NewEntry:
    """Return the entry of a row; a relative path is taken as one below the working directory.

    Raises `ValueError` or `UsageError` for values that no entry has.
    """
    if not path:
        raise ValueError("a path is empty")
    if len(sha256) != 64:
        raise ValueError(f"sha256: expected 64 digits, got {len(sha256)}")
    check_labels(labels)
    return NewEntry(
        path=entry_path(path), sha256=sha256, size=size, mtime_ns=mtime_ns, labels=labels, vector=vector
    )


def check_names(file: Path, entries: Sequence[Entry], kind: str) -> None:
    """Raise `InputError` for a path that is not UTF-8, which this kind of file cannot hold."""
    for entry in entries:
        if os.fsencode(entry.path) != entry.path.encode(errors="replace"):
            raise InputError(f"{file}: {kind} takes names in UTF-8, not {entry.path!r}; export as .npz")


def check_entries(file: Path, parts: Iterable[Sequence[NewEntry]]) -> None:
    """Raise `InputError` if a path stands twice in a file, or a vector is not of length 1."""
    known: set[str] = set()
    for part in parts:
        for entry in part:
            if entry.path in known:
                raise InputError(f"{file}: expected each path once, got {entry.path!r} twice")
            known.add(entry.path)
        vectors = np.array([entry.vector for entry in part], dtype=np.float32)
        if len(part) and not normalised(vectors):
            raise InputError(f"{file}: expected vectors of length 1, got others; divide each by its length")
