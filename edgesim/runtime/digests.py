"""Checksums of what an index holds, each bound to the row that it belongs to.

CRC-32 finds every damage of one bit and of up to 32 bits in a row, and of any other all but one in 2^32. It
is no protection against somebody who changes an index on purpose.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def vector_bytes(vector: NDArray[np.float32]) -> bytes:
    """Return a vector (D,) as it is stored and its checksum made: float32 in little-endian bytes."""
    return vector.astype("<f4").tobytes()


def vector_digest(entry_id: int, vector: bytes) -> int:
    """Return the checksum of an entry's vector, see `vector_bytes`."""
    return zlib.crc32(vector, entry_id)


def path_digest(entry_id: int, path: bytes) -> int:
    """Return the checksum of the pair that the table of paths holds of an entry."""
    return zlib.crc32(path, entry_id)


def facts_digest(
    entry_id: int,
    path: bytes,
    sha256: str,
    size: int,
    mtime_ns: int,
    vector_sum: int,
    labels: Mapping[str, str],
) -> int:
    """Return the checksum of all that an index holds of an entry; `vector_sum` stands for its vector."""
    pairs = [label_text(key, value) for key, value in sorted(labels.items())]
    return joined_digest(entry_id, path, sha256, size, mtime_ns, vector_sum, pairs)


def joined_digest(
    entry_id: int, path: bytes, sha256: str, size: int, mtime_ns: int, vector_sum: int, pairs: list[str]
) -> int:
    """Return what `facts_digest` does; `pairs` are the labels by rising key, see `label_text`.

    It is `digest` of all of them, in a third of the time: a filter asks for it of every entry.
    """
    return zlib.crc32(
        f"[{entry_id}, {quoted(path.decode('latin-1'))}, {quoted(sha256)}, {size}, {mtime_ns}, {vector_sum}, "
        f"[{', '.join(pairs)}]]".encode()
    )


def label_text(key: str, value: str) -> str:
    """Return a label as JSON. Raises `TypeError` if it is no text."""
    return f"[{quoted(key)}, {quoted(value)}]"


def digest(*values: object) -> int:
    """Return the checksum of bytes and of values of plain JSON types."""
    plain = [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]
    return zlib.crc32(json.dumps(plain).encode())
