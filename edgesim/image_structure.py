"""What Pillow does not tell before it decodes a file: how many scans a JPEG has, how many parts a TIFF."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

# A marker that ends the pixels of a JPEG; 0xFF00 and 0xFFD0 to 0xFFD7 are among them (ITU-T T.81, B.1.1).
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
_START_OF_SCAN, _START_OF_IMAGE, _END_OF_IMAGE = 0xDA, 0xD8, 0xD9
# Tags of TIFF 6.0 that list a value for each strip or tile.
_PART_TAGS = (273, 279, 324, 325)


def count_scans(stream: BinaryIO, components: int) -> int:
    """Return in how many scans a JPEG file keeps its picture; of what follows the picture nothing counts.

    A file whose first scan has all `components`, if it is not progressive, has no other, and is not read on.
    """
    position = stream.tell()
    try:
        stream.seek(0)
        if not _is_progressive_or_split(stream, components):
            return 1
        stream.seek(0)
        return _count_in(stream.read())
    finally:
        stream.seek(position)


def _is_progressive_or_split(stream: BinaryIO, components: int) -> bool:
    stream.seek(2)
    progressive = False
    while True:
        head = stream.read(5)
        # Where this finds no segment a decoder may find one behind some rubbish.
        if len(head) < 5 or head[0] != 0xFF or (length := int.from_bytes(head[2:4])) < 2:
            return True
        if head[1] == _START_OF_SCAN:
            return progressive or head[4] < components
        progressive = progressive or head[1] in (0xC2, 0xC6, 0xCA, 0xCE)
        stream.seek(length - 3, 1)


def _count_in(content: bytes) -> int:
    scans, position = 0, 2
    while (found := _MARKER.search(content, position)) and found[1][0] != _END_OF_IMAGE:
        position = found.end()
        if found[1][0] != _START_OF_IMAGE:
            position += max(2, int.from_bytes(content[position : position + 2]))
        scans += found[1][0] == _START_OF_SCAN
    return scans


def count_tiff_parts(stream: BinaryIO) -> int:
    """Return how many strips or tiles the first directory of a TIFF file lists, as far as it can be read."""
    position, parts = stream.tell(), 0
    stream.seek(0)
    # Pillow, too, goes on with what stands before the place where a directory is cut off.
    with contextlib.suppress(struct.error):
        for tag, count in _directory(stream):
            parts = max(parts, count if tag in _PART_TAGS else 0)
    stream.seek(position)
    return parts


def _directory(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield tag and number of values of each entry."""
    head = stream.read(16)
    order, big = "<" if head.startswith(b"II") else ">", b"+" in head[2:4]
    (start,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)
    if start > 2**62:  # no file is as long, and `seek` would fail
        return
    stream.seek(start)
    (entries,) = struct.unpack(f"{order}{'Q' if big else 'H'}", stream.read(8 if big else 2))
    entry = struct.Struct(f"{order}HH{'QQ' if big else 'II'}")
    for _ in range(entries):
        tag, _, count, _ = entry.unpack(stream.read(entry.size))
        yield tag, count
