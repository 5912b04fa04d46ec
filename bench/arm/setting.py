"""What every measurement on ARM starts from: a user space, a kit installed in it, other engines."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

from harness import describe_machine

from arm.cores import CORES, Core
from arm.counting import build_plugin
from arm.engines import engine_packages
from arm.guest import Guest, emulator_version
from arm.kit import install_kit, kit_engine, make_kit
from arm.pictures import write_camera_picture
from arm.root import PYTHON_PACKAGES, cache_folder, unpacked_root
from edgesim.engines import ENGINES

SOURCE = Path(__file__).parents[2]
PROFILE, ENCODER = "pi-4b", "copy"
_START = time.monotonic()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """An installed kit and what belongs to it.

    Attributes:
        work: a folder for files.
        plugin: the compiled instruction counter.
        root: the unpacked user space.
        installed: the guest with the kit's own Python.
        bundle: the encoder that the kit installed.
        engine: the kit's engine.
        engines: engine -> folder of its packages, of those that the kit does not hold.
        camera: a JPEG file of a camera's size.
    """

    work: Path
    plugin: Path
    root: Path
    installed: Guest
    bundle: Path
    engine: str
    engines: dict[str, Path]
    camera: Path

    def guest(self, core: Core, engine: str | None = None) -> Guest:
        """Return the guest of a core: with the installation, or with an engine that is not the kit's."""
        guest = Guest.in_root(core, self.root, self.work)
        if engine is None or engine == self.engine:
            return dataclasses.replace(
                guest, python=self.installed.python, libraries=self.installed.libraries
            )
        return dataclasses.replace(guest, packages=(self.engines[engine], SOURCE))


def describe_emulation() -> dict[str, Any]:
    """Return what instruction counts are made with: QEMU and this machine. None depends on the date."""
    machine = {key: value for key, value in describe_machine().items() if key != "date"}
    return {"qemu": emulator_version(), **machine}


def option_parser(description: str | None, profile: str = PROFILE) -> argparse.ArgumentParser:
    """Return a parser of the options `--kit` and `--cache`, whose paths come out absolute."""

    def absolute(path: str) -> Path:
        return Path(path).absolute()

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kit", type=absolute, help=f"take this kit (default: make that of {profile})")
    parser.add_argument(
        "--cache", type=absolute, default=cache_folder(), help="folder of unpacked user spaces"
    )
    return parser


def say(text: str) -> None:
    """Print to stderr what was reached, and when."""
    print(f"[{time.monotonic() - _START:4.0f} s] {text}", file=sys.stderr, flush=True)


def prepare(
    work: Path, cache: Path, kit: Path | None = None, profile: str = PROFILE, core: Core = CORES["cortex-a72"]
) -> Setting:
    """Unpack, make and install.

    Args:
        work: a folder for what this makes.
        cache: folder of what is kept: the unpacked user space and the other engines.
        kit: one that is there already; by default that of `ENCODER` for the profile is made.
        profile: the device.
        core: its core, on which the kit is installed. Of other engines there are none for 32 bits.
    """
    root = unpacked_root(cache, "bookworm", core.architecture, PYTHON_PACKAGES)
    say(f"user space in {root}")
    kit = kit or make_kit(ENCODER, profile, work / "kit")
    engine = kit_engine(kit)
    say(f"kit with {engine}")
    others = [name for name in ENGINES if name != engine and core.architecture == "arm64"]
    engines = {name: engine_packages(cache, name) for name in others}
    installed, bundle = install_kit(kit, Guest.in_root(core, root, work), work)
    say("kit installed")
    return Setting(
        work=work,
        plugin=build_plugin(work),
        root=root,
        installed=installed,
        bundle=bundle,
        engine=engine,
        engines=engines,
        camera=write_camera_picture(work / "camera.jpg"),
    )
