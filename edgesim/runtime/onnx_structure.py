"""The outline of an ONNX file, without the package onnx: is it whole, and are its weights inside?

Field numbers are those of onnx.proto, the encoding is that of Protocol Buffers.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

# Message -> the fields that hold messages with tensors in them.
_MESSAGES = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
_GRAPH, _EXTERNAL_DATA, _DATA_LOCATION = 7, 13, 14
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10


def check_onnx(content: bytes | mmap.mmap) -> None:
    """Raise `ValueError` if a file is no ONNX file, cut off, or keeps weights in files beside it."""
    waiting = [("ModelProto", 0, len(content))]
    has_graph = False
    while waiting:
        message, start, end = waiting.pop()
        for field, kind, first, last in _fields(content, start, end):
            if message == "TensorProto" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and first)):
                raise ValueError("it keeps weights in another file, which edgesim never reads")
            has_graph = has_graph or (message == "ModelProto" and field == _GRAPH)
            inner = _MESSAGES[message].get(field)
            if inner is not None:
                if kind != _LENGTH:
                    raise ValueError("not an ONNX file")
                waiting.append((inner, first, last))
    if not has_graph:
        raise ValueError("not an ONNX file")


def _fields(content: bytes | mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type and extent of each field of a message; of a varint its value and its end."""
    while position < end:
        key, position = _varint(content, position, end)
        kind, first = key & 7, position
        if kind == _VARINT:
            first, position = _varint(content, position, end)
        elif kind == _LENGTH:
            length, first = _varint(content, position, end)
            position = first + length
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("not an ONNX file")
        if position > end:
            raise ValueError("not an ONNX file, or cut off")
        yield key >> 3, kind, first, position


def _varint(content: bytes | mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """Return the number at a position, and the position behind it."""
    # Nearly all are of one byte.
    if position < end and (byte := content[position]) < 0x80:
        return byte, position + 1
    value = 0
    for shift, index in enumerate(range(position, min(end, position + _VARINT_BYTES))):
        byte = content[index]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, index + 1
    raise ValueError("not an ONNX file, or cut off")
