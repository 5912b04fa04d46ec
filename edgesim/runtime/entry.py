"""What an index holds about one image."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One image in an index, apart from its vector.

    Attributes:
        entry_id: names this path with this content.
        path: absolute path of the file.
        sha256: of the file's content, 64 hexadecimal digits.
        size: of the file, in bytes.
        mtime_ns: when the file was last changed, in nanoseconds since 1970.
        labels: what the user said about it.
    """

    entry_id: int
    path: str
    sha256: str
    size: int
    mtime_ns: int
    labels: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewEntry:
    """What to write about one image, see `Entry`; its labels are merged with those that are there.

    `vector` is the L2-normalised embedding (D,), float32; None if the content is the one that is there.
    """

    path: str
    sha256: str
    size: int
    mtime_ns: int
    labels: dict[str, str]
    vector: NDArray[np.float32] | None

    @classmethod
    def of(cls, entry: Entry, labels: dict[str, str], vector: NDArray[np.float32] | None) -> NewEntry:
        """Return what to write about the file of `entry`, as it was when that was written."""
        return cls(
            path=entry.path,
            sha256=entry.sha256,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            labels=labels,
            vector=vector,
        )


def entry_path(path: str | Path) -> str:
    """Return the absolute path that names an image in an index.

    Symbolic links are kept, as `Path.resolve` would not: a photo keeps its name when its folder is moved
    behind a link.
    """
    return os.path.abspath(path)  # noqa: PTH100


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise `UsageError` for a label that is not valid UTF-8."""
    for key, value in labels.items():
        try:
            f"{key}={value}".encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the label {key!r}={value!r} is not valid UTF-8") from error


def format_labels(labels: dict[str, str]) -> str:
    """Return labels as the command line takes them: `key=value`, separated by spaces."""
    return " ".join(f"{key}={value}" for key, value in labels.items())


def one_line(text: object) -> str:
    """Return what damage may have put into a message, with `?` for whatever is not printable."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def printable(path: str | Path) -> str:
    """Return a path for a table, with the bytes of its name that are not UTF-8 written as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
