"""The outline of a TFLite file: does every offset and every number of another thing point into the file?

LiteRT looks by itself; tflite-runtime 2.14 trusts a file, and is killed by one that was cut off. Field
numbers are those of TFLite's schema, the encoding is that of FlatBuffers.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

IDENTIFIER = b"TFL3"

# Table -> field -> what its offset points to: a table, a list of tables, or a vector whose items have so many
# bytes. Numbers that stand in the table itself are not listed.
_TABLES: dict[str, dict[int, str | list[str] | int]] = {
    "Model": {
        1: ["OperatorCode"],
        2: ["SubGraph"],
        3: 1,
        4: ["Buffer"],
        5: 4,
        6: ["Metadata"],
        7: ["SignatureDef"],
    },
    "OperatorCode": {1: 1},
    "SubGraph": {0: ["Tensor"], 1: 4, 2: 4, 3: ["Operator"], 4: 1},
    "Tensor": {0: 4, 3: 1, 4: "Quantization", 7: 4},
    "Quantization": {0: 4, 1: 4, 2: 4, 3: 8},
    "Operator": {1: 4, 2: 4, 4: "Options", 5: 1, 7: 1, 8: 4, 12: "Options"},
    "Buffer": {0: 1},
    "Metadata": {0: 1},
    "SignatureDef": {0: ["TensorMap"], 1: ["TensorMap"], 2: 1},
    "TensorMap": {0: 1},
    "Options": {},
}
# Fields that no encoder needs, and that could point anywhere: files with weights, sparse and variant tensors,
# details of quantisation, options behind the tables.
_REFUSED = {"Model": (8, 9), "Tensor": (6, 9, 10), "Quantization": (5,), "Operator": (9, 10)}
# The type of an operator's options -> fields of them with vectors, and the bytes of an item.
_OPTION_VECTORS = {3: {1: 4, 2: 4}, 17: {0: 4}, 30: {0: 4}, 111: {0: 1, 1: 1}, 115: {0: 4}}
# More numbers than a tensor of an encoder has by far. Our choice.
_MAX_ELEMENTS = 2**28

_U8, _U16, _I32, _U32, _U64 = (struct.Struct(f"<{code}") for code in "BHiIQ")


def check_tflite(content: bytes | mmap.mmap) -> None:
    """Raise `ValueError` if a file is no TFLite file, cut off, or points outside of itself."""
    if content[4:8] != IDENTIFIER:
        raise ValueError("not a TFLite file")
    try:
        model = _walk(content)
        _check_numbers(model)
    except (struct.error, KeyError) as error:
        raise ValueError("the TFLite file is cut off or damaged") from error


class _Table(NamedTuple):
    """One table of the file: where it and the list of its fields stand, and the bytes of both."""

    content: bytes | mmap.mmap
    kind: str
    position: int
    width: int
    vtable: int
    vtable_size: int

    def field(self, number: int) -> int | None:
        """Return the position of a field, None if it is left at its default."""
        if 4 + 2 * number >= self.vtable_size:
            return None
        offset = _read(_U16, self.content, self.vtable + 4 + 2 * number)
        if offset >= self.width:
            raise ValueError("the TFLite file is damaged: a field lies outside of its table")
        return self.position + offset if offset else None

    def number(self, field: int, kind: struct.Struct = _U32) -> int:
        """Return a number, 0 by default."""
        position = self.field(field)
        return 0 if position is None else _read(kind, self.content, position)

    def target(self, field: int) -> int | None:
        """Return where an offset leads, None if there is none."""
        position = self.field(field)
        if position is None:
            return None
        return position + _read(_U32, self.content, position)

    def vector(self, field: int, width: int) -> tuple[int, int]:
        """Return the position and number of the items of a vector; all of them lie in the file."""
        start = self.target(field)
        if start is None:
            return 0, 0
        count = _read(_U32, self.content, start)
        if start % 4 or start + 4 + count * width > len(self.content):
            raise ValueError("the TFLite file is cut off or damaged: a list does not end within it")
        return start + 4, count

    def numbers(self, field: int) -> list[int]:
        """Return the items of a vector of int32."""
        start, count = self.vector(field, 4)
        return list(struct.unpack_from(f"<{count}i", self.content, start))

    def tables(self, field: int, kind: str) -> list[_Table]:
        """Return the tables of a list."""
        start, count = self.vector(field, 4)
        places = range(start, start + 4 * count, 4)
        return [_table(self.content, kind, place + _read(_U32, self.content, place)) for place in places]


def _read(kind: struct.Struct, content: bytes | mmap.mmap, position: int) -> int:
    if position < 0:  # which Python would count from the end
        raise ValueError("the TFLite file is damaged: an offset leads before its start")
    value: int = kind.unpack_from(content, position)[0]
    return value


def _table(content: bytes | mmap.mmap, kind: str, position: int) -> _Table:
    vtable = position - _read(_I32, content, position)
    size, width = _read(_U16, content, vtable), _read(_U16, content, vtable + 2)
    outside = vtable + size > len(content) or position + width > len(content)
    if position % 4 or vtable % 2 or size < 4 or width < 4 or outside:
        raise ValueError("the TFLite file is cut off or damaged: a table does not end within it")
    return _Table(content, kind, position, width, vtable, size)


def _walk(content: bytes | mmap.mmap) -> _Table:
    """Visit every table and vector, and return the model's table."""
    model = _table(content, "Model", _read(_U32, content, 0))
    waiting = [model]
    budget = len(content)
    while waiting:
        table = waiting.pop()
        budget -= 1
        if budget < 0:  # few bytes can name one table time and again
            raise ValueError("the TFLite file has more tables than bytes")
        if any(table.field(number) is not None for number in _REFUSED.get(table.kind, ())):
            raise ValueError(f"the TFLite file has a {table.kind} with fields that edgesim never reads")
        waiting += _inner(table)
    return model


def _inner(table: _Table) -> Iterator[_Table]:
    for number, target in _TABLES[table.kind].items():
        if isinstance(target, int):
            table.vector(number, target)
        elif isinstance(target, list):
            yield from table.tables(number, target[0])
        elif (position := table.target(number)) is not None:
            inner = _table(table.content, target, position)
            if table.kind == "Operator" and number == 4:
                for field, width in _OPTION_VECTORS.get(table.number(3, _U8), {}).items():
                    inner.vector(field, width)
            yield inner


def _check_numbers(model: _Table) -> None:
    """Check that tensors, operators and buffers that are named by number exist."""
    codes, buffers = (model.vector(field, 4)[1] for field in (1, 4))
    for buffer in model.tables(4, "Buffer"):
        # Of weights behind the tables.
        if buffer.number(1, _U64) + buffer.number(2, _U64) > len(model.content):
            raise ValueError("the TFLite file is cut off or damaged: weights do not end within it")
    graphs = model.tables(2, "SubGraph")
    if not graphs:
        raise ValueError("the TFLite file holds no graph")
    for graph in graphs:
        tensors = graph.tables(0, "Tensor")
        named = {*graph.numbers(1), *graph.numbers(2)}
        for operator in graph.tables(3, "Operator"):
            if operator.number(0) >= codes:
                raise ValueError("the TFLite file names an operator that it does not hold")
            named |= {*operator.numbers(1), *operator.numbers(2), *operator.numbers(8)} - {-1}
        if any(not 0 <= number < len(tensors) for number in named):
            raise ValueError("the TFLite file names a tensor that it does not hold")
        for tensor in tensors:
            if tensor.number(2) >= buffers:
                raise ValueError("the TFLite file names a buffer that it does not hold")
            if math.prod(map(abs, tensor.numbers(0))) > _MAX_ELEMENTS:
                raise ValueError(f"the TFLite file has a tensor of more than {_MAX_ELEMENTS} numbers")
