"""TOML tables as frozen dataclasses: one way to read recipes, device profiles and training settings.

What a file says and the dataclass does not know is an error that names the nearest key, never a default.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
import typing
from collections.abc import Iterable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from edgesim.errors import UsageError
from edgesim.names import nearest

T = TypeVar("T")

_EXPECTED = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple[str, ...]: "a list of texts",
    tuple[int, ...]: "a list of whole numbers",
    tuple[float, ...]: "a list of numbers",
    dict[str, str]: "a table of texts",
}


def shipped_names(folder: Traversable) -> list[str]:
    """Return the names of the TOML files in a package's folder, sorted, without `.toml`."""
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_named(kind: str, name_or_path: str, folder: Traversable) -> tuple[str, str, dict[str, Any]]:
    """Read a TOML file that ships with edgesim, or one of the user's own.

    Args:
        kind: what messages call it: `profile`, `recipe`.
        name_or_path: a shipped name, or a path: what ends in `.toml` or holds a path separator.
        folder: where the shipped ones lie.

    Returns:
        Its name, the file as messages call it, and its values.

    Raises:
        UsageError: unknown name, no such file, or not TOML.
    """
    if name_or_path.endswith(".toml") or os.sep in name_or_path:
        return Path(name_or_path).stem, name_or_path, read_toml(Path(name_or_path))
    known = shipped_names(folder)
    if name_or_path not in known:
        raise UsageError(f"unknown {kind} {name_or_path!r}{nearest(name_or_path, known)}")
    file = folder / f"{name_or_path}.toml"
    return name_or_path, file.name, _parse(file.read_bytes(), file.name)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file. Raises `UsageError` if it cannot be read or is not TOML."""
    try:
        return _parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error


def _parse(content: bytes, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except ValueError as error:
        raise UsageError(f"{file}: not TOML ({error})") from error


def build(cls: type[T], values: dict[str, Any], where: str, **given: Any) -> T:
    """Make a dataclass from a TOML table; a field whose type is a dataclass takes a table of its own.

    Args:
        cls: a dataclass of texts, numbers, booleans, lists of these, tables of texts, and dataclasses; each
            may be None where it says so.
        values: the table. What it lacks takes the field's default, if there is one.
        where: the file, and the table in it, as messages call them.
        given: fields that the file must not set, with their values.

    Raises:
        UsageError: an unknown, missing or mistyped key, or a `ValueError` of the dataclass.
    """
    hints = {key: hint for key, hint in typing.get_type_hints(cls).items() if key not in given}
    check_known(values, hints, where, "key")
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name in hints and field.name not in values:
            raise UsageError(f"{where}: lacks the key {field.name!r}")
    converted = {key: _convert(value, hints[key], f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**converted, **given)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def _convert(value: Any, hint: Any, where: str) -> Any:
    if type(None) in typing.get_args(hint):  # X | None
        if value is None:
            return None
        (hint,) = (alternative for alternative in typing.get_args(hint) if alternative is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise UsageError(f"{where}: expected a table, got {value!r}")
        return build(hint, value, where)
    if hint is float and type(value) is int:
        return float(value)
    if hint == tuple[float, ...] and isinstance(value, list):
        value = [float(x) if type(x) is int else x for x in value]
    item = typing.get_args(hint)[0] if typing.get_origin(hint) in (tuple, dict) else None
    if dataclasses.is_dataclass(item) and isinstance(value, list):
        return tuple(_convert(table, item, f"{where}[{i}]") for i, table in enumerate(value))
    if item is None:
        fits = type(value) is hint  # exactly: a boolean is an int to Python
    elif typing.get_origin(hint) is tuple:
        fits = isinstance(value, list) and all(type(x) is item for x in value)
        value = tuple(value) if fits else value
    else:
        fits = isinstance(value, dict) and all(type(x) is item for x in value.values())
    if not fits:
        raise UsageError(f"{where}: expected {_EXPECTED.get(hint, 'a list of tables')}, got {value!r}")
    return value


def check_known(items: Iterable[str], known: Iterable[str], where: str, what: str = "value") -> None:
    """Raise `UsageError`, with the nearest known one, if any of `items` is not known."""
    known = list(known)
    for item in items:
        if item not in known:
            raise UsageError(f"{where}: unknown {what} {item!r}{nearest(item, known)}")
