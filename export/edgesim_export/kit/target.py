"""What a kit is made for: a device's profile, one of its Pythons, and one engine that exists there."""

from __future__ import annotations

import dataclasses

from edgesim.bundle import Bundle
from edgesim.engines import ENGINES, Engine
from edgesim.errors import UsageError
from edgesim.profiles import DeviceProfile
from edgesim.settings import check_known
from edgesim_export.kit.wheel import OLDEST_GLIBC

# The Debian release that brings a Python; Raspberry Pi OS follows Debian.
DEBIAN_RELEASES = {"3.11": "bookworm", "3.13": "trixie"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """One combination of device, Python and engine.

    Attributes:
        profile: the device.
        python: its Python, as `3.11`.
        engine: key of `edgesim.engines.ENGINES`.
    """

    profile: DeviceProfile
    python: str
    engine: str

    @property
    def abi(self) -> str:
        """The tag of Python and its ABI, as `cp311`."""
        return f"cp{self.python.replace('.', '')}"

    @property
    def platforms(self) -> list[str]:
        """The platform tags of wheels that run there, the newest first (PEP 600)."""
        return platform_tags(self.profile)

    @property
    def tag(self) -> str:
        """The tag of wheels that are built or repacked here: without a promise of a C library."""
        return f"{self.abi}-{self.abi}-linux_{self.profile.architecture}"

    @property
    def place(self) -> str:
        """How messages call it."""
        return f"Python {self.python} on {self.profile.architecture}"


def glibc_minor(profile: DeviceProfile) -> int:
    """Return the minor version of the device's glibc 2."""
    return int(profile.glibc.partition(".")[2])


def platform_tags(profile: DeviceProfile) -> list[str]:
    """Return the platform tags of wheels that run on a device, the newest first (PEP 600)."""
    architecture = profile.architecture
    minors = range(glibc_minor(profile), OLDEST_GLIBC - 1, -1)
    return [*(f"manylinux_2_{minor}_{architecture}" for minor in minors), f"manylinux2014_{architecture}"]


def choose_target(profile: DeviceProfile, python: str | None, engine: str | None, bundle: Bundle) -> Target:
    """Fill in what was not asked for: the profile's first Python, and its first engine that can be used.

    An engine can be used if it has wheels for that Python and architecture, and the bundle a model for it.

    Raises:
        UsageError: a Python that the profile does not name, an unknown engine, or one that cannot be used.
    """
    python = python or profile.python[0]
    if python not in profile.python:
        raise UsageError(
            f"--python: profile {profile.name} has Python {' and '.join(profile.python)}, got {python!r}"
        )
    if engine is not None:
        check_known([engine], ENGINES, "--engine", "engine")
    usable = [name for name in profile.engines if _obstacle(ENGINES[name], profile, python, bundle) is None]
    if engine is None and usable:
        engine = usable[0]
    wanted = engine or profile.engines[0]
    obstacle = _obstacle(ENGINES[wanted], profile, python, bundle)
    if obstacle is not None:
        cure = f"use --engine {usable[0]}" if usable else f"no engine of profile {profile.name} is left"
        raise UsageError(f"{wanted} {obstacle}; {cure}")
    return Target(profile=profile, python=python, engine=wanted)


def _obstacle(engine: Engine, profile: DeviceProfile, python: str, bundle: Bundle) -> str | None:
    if not engine.has_wheels(profile.architecture, python):
        return f"has no wheels for Python {python} on {profile.architecture}"
    if engine.model_format not in bundle.models:
        return f"runs {engine.model_format} models, and {bundle.folder} holds {', '.join(bundle.models)} only"
    return None
