"""Device profiles: what a board is, and what an encoder and an index may cost on it.

The facts are data, not code: `firmware_profiles/*.toml` holds one file a device, its README.md describes the
keys, and a user may pass the path of a file of their own. Standard library only.
"""

from __future__ import annotations

import dataclasses
import re
from importlib import resources

from edgesim.engines import ENGINES, version_key
from edgesim.errors import UsageError
from edgesim.settings import build, check_known, read_named, shipped_names

ARCHITECTURES = ("aarch64", "armv7l", "x86_64")
# What int8 kernels are chosen by, and what packages built for another CPU die of.
FEATURES = ("sse4.2", "avx", "avx2", "avx-vnni", "avx512-vnni", "neon", "dotprod", "fp16", "i8mm")
# What edgesim itself asks for.
MIN_PYTHON = "3.11"
# No encoder that tells pictures apart is smaller, and no embedding shorter. Our choice.
MIN_MODEL_BYTES = 10_000
MIN_EMBEDDING_DIM = 16


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
        glibc: the oldest C library of these systems, as `2.36`: it decides which wheels they can load.
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
    glibc: str
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
        if value == () and field.name != "features":
            raise UsageError(f"{file}: {field.name}: expected one at least, got an empty list")
    _check_systems(profile, file)
    _check_budgets(profile, file)
    _check_sources(profile, file)
    return profile


def _check_systems(profile: DeviceProfile, file: str) -> None:
    for key, versions in (("python", profile.python), ("glibc", (profile.glibc,))):
        for version in versions:
            if not re.fullmatch(r"\d{1,3}\.\d{1,3}", version):
                raise UsageError(
                    f"{file}: {key}: expected a version such as '3.11' or '2.36', got {version!r}"
                )
    for version in profile.python:
        if version_key(version) < version_key(MIN_PYTHON):
            raise UsageError(f"{file}: python: edgesim needs {MIN_PYTHON} or newer, got {version!r}")
        if not any(ENGINES[name].has_wheels(profile.architecture, version) for name in profile.engines):
            raise UsageError(
                f"{file}: engines: for Python {version} on {profile.architecture} there are no wheels of "
                f"{', '.join(profile.engines)}; name another engine, or leave that Python out"
            )


def _check_budgets(profile: DeviceProfile, file: str) -> None:
    """Refuse budgets that nothing can hold: every export would fail, and a typing error go unseen."""
    if profile.ram_budget_mb > profile.ram_mb:
        raise UsageError(
            f"{file}: ram_budget_mb: {profile.ram_budget_mb} MiB is more than the device has, "
            f"ram_mb = {profile.ram_mb}"
        )
    if profile.model_bytes_max < MIN_MODEL_BYTES:
        raise UsageError(
            f"{file}: model_bytes_max: no encoder fits into {profile.model_bytes_max} bytes, "
            f"expected {MIN_MODEL_BYTES} at least"
        )
    check_index_fits(profile, MIN_EMBEDDING_DIM, file)


def check_index_fits(profile: DeviceProfile, embedding_dim: int, where: str) -> None:
    """Raise `UsageError` if an index of the profile's size exceeds its memory budget by its vectors alone.

    Args:
        profile: with `index_entries` and `ram_budget_mb`.
        embedding_dim: numbers of a vector, float32.
        where: the profile, as the message calls it.
    """
    megabytes = profile.index_entries * embedding_dim * 4 / 2**20
    if megabytes > profile.ram_budget_mb:
        raise UsageError(
            f"{where}: index_entries: {profile.index_entries} vectors of {embedding_dim} numbers alone take "
            f"{megabytes:.0f} MiB, ram_budget_mb = {profile.ram_budget_mb}; lower the one or raise the other"
        )


def _check_sources(profile: DeviceProfile, file: str) -> None:
    wanted = [field.name for field in dataclasses.fields(profile) if field.name not in _UNSOURCED]
    check_known(profile.sources, wanted, f"{file}: sources", "key")
    for key in wanted:
        if key not in profile.sources:
            raise UsageError(f"{file}: no source for {key!r}; add it to [sources]")
