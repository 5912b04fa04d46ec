"""Device profiles: what a board is, and what an encoder and an index may cost on it.

The facts are data, not code: `firmware_profiles/*.toml` holds one file a device, its README.md describes the
keys, and a user may pass the path of a file of their own. Standard library only.
"""

from __future__ import annotations

import dataclasses
from importlib import resources

from edgesim.engines import ENGINES
from edgesim.errors import UsageError
from edgesim.settings import build, check_known, read_named, shipped_names

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


_UNSOURCED = ("name", "title", "sources")


def profile_names() -> list[str]:
    """Return the names of the profiles that ship with edgesim, sorted."""
    return shipped_names(resources.files("firmware_profiles"))


def load_profile(name_or_path: str) -> DeviceProfile:
    """Return one of the profiles of `profile_names`, or the one in a TOML file of the user's own.

    Args:
        name_or_path: a name, or a path: what ends in `.toml` or holds a path separator.

    Raises:
        UsageError: unknown name, no such file, or a file that does not follow the schema.
    """
    name, file, values = read_named("profile", name_or_path, resources.files("firmware_profiles"))
    profile = build(DeviceProfile, values, file, name=name)
    check_known([profile.architecture], ARCHITECTURES, f"{file}: architecture")
    check_known(profile.features, FEATURES, f"{file}: features")
    check_known(profile.engines, ENGINES, f"{file}: engines")
    for field in dataclasses.fields(profile):
        value = getattr(profile, field.name)
        if value == "" or (isinstance(value, int) and value < 1):
            raise UsageError(f"{file}: {field.name}: expected a text or a number above 0, got {value!r}")
    _check_sources(profile, file)
    return profile


def _check_sources(profile: DeviceProfile, file: str) -> None:
    wanted = [field.name for field in dataclasses.fields(profile) if field.name not in _UNSOURCED]
    check_known(profile.sources, wanted, f"{file}: sources", "key")
    for key in wanted:
        if key not in profile.sources:
            raise UsageError(f"{file}: no source for {key!r}; add it to [sources]")
