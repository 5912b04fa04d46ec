"""Device profiles: what a board is, and what an encoder and an index may cost on it.

The facts are data, not code: `firmware_profiles/*.toml` holds one file a device, its README.md describes the
keys, and a user may pass the path of a file of their own. Standard library only.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from edgesim.engines import ENGINES
from edgesim.errors import UsageError
from edgesim.names import nearest

ARCHITECTURES = ("aarch64", "armv7l", "x86_64")
# What int8 kernels are chosen by, and what packages built for another CPU die of.
FEATURES = ("sse4.2", "avx", "avx2", "avx-vnni", "avx512-vnni", "neon", "dotprod", "fp16", "i8mm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """One device, or one class of devices.

    Attributes:
        name: what `--profile` takes; the name of the file without `.toml`.
        title: what a person calls it.
        soc: the chip that the figures are those of.
        core: the CPU core's name.
        cores: number of CPU cores.
        clock_mhz: the highest clock of a core.
        architecture: one of `ARCHITECTURES`, as `uname -m` prints it.
        features: those of `FEATURES` that every device of this profile has.
        ram_mb: memory in MiB, of the smallest model.
        os: operating systems meant.
        python: Python versions that these bring, as `3.11`.
        engines: keys of `edgesim.engines.ENGINES`, the preferred one first.
        model_bytes_max: limit of one model file.
        ram_budget_mb: limit of the peak memory of a process that answers queries, in MiB.
        latency_budget_ms: limit from the bytes of a photo to its matches, in a process already running.
        index_entries: size of the index that the two budgets above are meant for.
        sources: for every key above but `name` and `title`, where it comes from.
    """

    name: str
    title: str
    soc: str
    core: str
    cores: int
    clock_mhz: int
    architecture: str
    features: tuple[str, ...]
    ram_mb: int
    os: tuple[str, ...]
    python: tuple[str, ...]
    engines: tuple[str, ...]
    model_bytes_max: int
    ram_budget_mb: int
    latency_budget_ms: int
    index_entries: int
    sources: dict[str, str]

    @property
    def formats(self) -> tuple[str, ...]:
        """The model formats that the engines run, the preferred one first."""
        return tuple(dict.fromkeys(ENGINES[engine].model_format for engine in self.engines))


_KEYS = {field.name: str(field.type) for field in dataclasses.fields(DeviceProfile) if field.name != "name"}
_UNSOURCED = ("title", "sources")
_CHOICES = {"architecture": ARCHITECTURES, "features": FEATURES, "engines": tuple(ENGINES)}


def profile_names() -> list[str]:
    """Return the names of the profiles that ship with edgesim, sorted."""
    files = resources.files("firmware_profiles").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_profile(name_or_path: str) -> DeviceProfile:
    """Return one of the profiles of `profile_names`, or the one in a TOML file of the user's own.

    Args:
        name_or_path: a name, or a path: what ends in `.toml` or holds a path separator.

    Raises:
        UsageError: unknown name, no such file, or a file that does not follow the schema.
    """
    if name_or_path.endswith(".toml") or os.sep in name_or_path:
        return _parse(Path(name_or_path).stem, _read(Path(name_or_path)), name_or_path)
    known = profile_names()
    if name_or_path not in known:
        raise UsageError(f"unknown profile {name_or_path!r}{nearest(name_or_path, known)}")
    file = resources.files("firmware_profiles") / f"{name_or_path}.toml"
    return _parse(name_or_path, file.read_bytes(), file.name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); see: edgesim profiles") from error


def _parse(name: str, content: bytes, file: str) -> DeviceProfile:
    try:
        values = tomllib.loads(content.decode())
    except ValueError as error:
        raise UsageError(f"{file}: not TOML ({error})") from error
    for key in values:
        if key not in _KEYS:
            raise UsageError(f"{file}: unknown key {key!r}{nearest(key, _KEYS)}")
    for key, kind in _KEYS.items():
        if key not in values:
            raise UsageError(f"{file}: lacks the key {key!r}; for an example run: edgesim profiles pi-4b")
        values[key] = _checked(values[key], kind, f"{file}: {key}")
    for key, choices in _CHOICES.items():
        _check_known(values[key], choices, f"{file}: {key}")
    _check_sources(values["sources"], file)
    return DeviceProfile(name=name, **values)


def _checked(value: Any, kind: str, where: str) -> Any:
    """Return a TOML value as the attribute's type, which `kind` spells; refuse any other."""
    if kind == "str" and isinstance(value, str) and value:
        return value
    # TOML's booleans arrive as bool, which Python counts among its integers.
    if kind == "int" and type(value) is int and value > 0:
        return value
    if kind == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(x, str) for x in value):
        return tuple(value)
    if (
        kind == "dict[str, str]"
        and isinstance(value, dict)
        and all(isinstance(x, str) for x in value.values())
    ):
        return value
    expected = {"str": "a text", "int": "a whole number above 0", "tuple[str, ...]": "a list of texts"}
    raise UsageError(f"{where}: expected {expected.get(kind, 'a table of texts')}, got {value!r}")


def _check_known(value: str | tuple[str, ...], choices: tuple[str, ...], where: str) -> None:
    for item in (value,) if isinstance(value, str) else value:
        if item not in choices:
            raise UsageError(f"{where}: unknown value {item!r}{nearest(item, choices)}")


def _check_sources(sources: dict[str, str], file: str) -> None:
    wanted = [key for key in _KEYS if key not in _UNSOURCED]
    for key in sources:
        if key not in wanted:
            raise UsageError(f"{file}: sources: unknown key {key!r}{nearest(key, wanted)}")
    for key in wanted:
        if key not in sources:
            raise UsageError(f"{file}: no source for {key!r}; add it to [sources]")
