"""The deployment kit, made here and installed in the guest as its user would."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from arm.guest import Guest


def make_kit(encoder: str, profile: str, out: Path) -> Path:
    """Make the kit of an encoder for a device with edgesim's own command; returns its folder."""
    command = [sys.executable, "-m", "edgesim", "bundle", "kit", encoder, "--profile", profile]
    subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    return out


def kit_engine(kit: Path) -> str:
    """Return the name of the engine in a kit."""
    facts = json.loads((kit / "kit.json").read_text())
    return str(facts["engine"])


def install_kit(kit: Path, guest: Guest, work: Path) -> tuple[Guest, Path]:
    """Run the kit's `install.sh` in the guest; returns the guest with the Python installed, and the bundle.

    The installation lies in `work`/edgesim. The kit is taken as it is: its installer asks for a Python by the
    variable PYTHON, and gets a program that starts the emulator.
    """
    prefix = work / "edgesim"
    python = guest.write_launcher(work / "python3")
    subprocess.run(
        ["sh", kit / "install.sh", "--prefix", prefix],
        env={**guest.environment(), "PATH": os.environ["PATH"], "PYTHON": str(python)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    installed = prefix / "current"
    # In kits for 32-bit systems; the kit's own launcher sets them too.
    libraries = installed / "lib" / "shared"
    return dataclasses.replace(
        guest,
        python=installed / "bin" / "python",
        libraries=libraries if libraries.is_dir() else None,
    ), prefix / "bundle"
