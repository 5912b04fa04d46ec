"""Which operators of a float graph belong to which layer of the encoder, in both formats by the same names.

A layer is named as in the checkpoint: `stages.2.shortcut.conv`. What the encoder does between its layers
belongs to `mean`, the averaging over the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edgesim.errors import UsageError
from edgesim.names import nearest

# The encoder's own operators, which have no layer.
ROOT = "mean"


class Operator(NamedTuple):
    """One operator of a float graph.

    Attributes:
        key: what the format's quantiser knows it by.
        kind: its type, as the format spells it: `Conv`, `CONV_2D`.
        layer: the layer that it computes, or a part of it.
    """

    key: str
    kind: str
    layer: str


def layer_names(operators: Iterable[Operator]) -> list[str]:
    """Return the layers, each once, in the order of execution."""
    return list(dict.fromkeys(operator.layer for operator in operators))


def select(operators: Sequence[Operator], names: Iterable[str], where: str) -> set[str]:
    """Return the keys of the operators that some names mean.

    Args:
        operators: of a graph.
        names: of layers, of layers above them (`stages.2` means all of that stage) or types of operators.
        where: the recipe, as messages call it.

    Raises:
        UsageError: a name that means no operator.
    """
    keys: set[str] = set()
    for name in names:
        found = {o.key for o in operators if name == o.kind or belongs(o.layer, name)}
        if not found:
            known = {o.kind for o in operators} | set(layer_names(operators))
            raise UsageError(f"{where}: keep_float: no layer or operator {name!r}{nearest(name, known)}")
        keys |= found
    return keys


def belongs(layer: str, name: str) -> bool:
    """Return whether a layer is the one of that name or lies in it."""
    return layer == name or layer.startswith(f"{name}.")
