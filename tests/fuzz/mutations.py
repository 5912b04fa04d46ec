"""Seeded damage to a file: the same seed makes the same mutant."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence

# Where most formats keep sizes and offsets.
_HEADER = 300
_NUMBERS = (0, 1, 0x7F, 0xFF, 7_000, 0x7FFF, 0xFFFF, 50_000_000, 0x7FFFFFFF, 0xFFFFFFFF)
_PNG = b"\x89PNG\r\n\x1a\n"

_Mutation = Callable[[random.Random, bytearray, Sequence[bytes]], bytes | bytearray]


def mutate(data: bytes, seed: int, others: Sequence[bytes] = ()) -> bytes:
    """Return `data` damaged in one of several ways; a PNG file's checksums are right again in half of them.

    Args:
        data: the file.
        seed: which mutant.
        others: files whose parts may be spliced in; by default its own.
    """
    if not data:
        return data
    chance = random.Random(seed)
    mutant = bytes(chance.choice(MUTATIONS)(chance, bytearray(data), others or [data]))
    return with_right_checksums(mutant) if chance.random() < 0.5 else mutant


def _flip(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    for _ in range(chance.choice((1, 3, 10))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _change_header(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    for _ in range(chance.choice((1, 3, 10))):
        data[chance.randrange(min(len(data), _HEADER))] = chance.randrange(256)
    return data


def _inflate(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    """Write a large, or very small, number where a size or an offset may be."""
    kind = chance.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(kind)
    place = chance.randrange(max(1, min(len(data), _HEADER) - size))
    data[place : place + size] = struct.pack(kind, chance.choice(_NUMBERS) & (256**size - 1))
    return data


def _truncate(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    return data[: chance.randrange(len(data))]


def _zero(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytearray:
    start = chance.randrange(len(data))
    length = min(chance.choice((4, 64, 1024)), len(data) - start)
    data[start : start + length] = bytes(length)
    return data


def _splice(chance: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    """Put a part of another file, or of this one, in some place."""
    other = chance.choice(others)
    start = chance.randrange(len(other))
    part = other[start : start + chance.choice((8, 64, 512))]
    place, over = chance.randrange(len(data)), chance.random() < 0.5
    return data[:place] + part + data[place + len(part) * over :]


MUTATIONS: tuple[_Mutation, ...] = (_flip, _change_header, _inflate, _truncate, _zero, _splice)


def with_right_checksums(data: bytes) -> bytes:
    """Return a PNG file with the checksums that fit its chunks, and any other file as it is."""
    if not data.startswith(_PNG):
        return data
    mended, position = bytearray(data), len(_PNG)
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4])
        if end + 4 > len(data):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return bytes(mended)
