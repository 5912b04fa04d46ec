"""Running Python in the emulated user space."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from arm.cores import Core, lay_prefix

_EMULATORS = {"arm64": "qemu-aarch64", "armhf": "qemu-arm"}


def emulator_version() -> str:
    """Return the version of QEMU, as `7.2.22`."""
    command = [_EMULATORS["arm64"], "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guest:
    """One core, its file system, and an interpreter in it.

    The guest sees the host's files, except where its root has a file of that path.

    Attributes:
        core: the core that is emulated.
        prefix: the root, see `arm.cores.lay_prefix`.
        python: the interpreter: the root's, or that of a virtual environment made by it.
        packages: folders that Python imports from beside its own (PYTHONPATH).
        libraries: a folder of shared libraries, beside the root's (LD_LIBRARY_PATH).
    """

    core: Core
    prefix: Path
    python: Path
    packages: tuple[Path, ...] = ()
    libraries: Path | None = None

    @classmethod
    def in_root(cls, core: Core, root: Path, work: Path) -> Guest:
        """Return a guest with the root's own interpreter; its prefix is laid into `work`."""
        prefix = lay_prefix(root, core, work / core.name)
        return cls(core=core, prefix=prefix, python=root / "usr/bin/python3.11")

    def command(self, *arguments: str | Path, options: Sequence[str | Path] = ()) -> list[str | Path]:
        """Return the command that runs Python with these arguments; `options` are QEMU's."""
        name = _EMULATORS[self.core.architecture]
        # Looked up here, as the environment of the guest has a PATH of its own.
        emulator = shutil.which(name) or name
        return [emulator, "-cpu", self.core.name, "-L", self.prefix, *options, self.python, *arguments]

    def environment(self) -> dict[str, str]:
        """Return the environment that the guest runs in: this, and nothing of the host's."""
        # QEMU's A53 and A72 have instructions for SHA-256 that the boards lack: OpenSSL is to use NEON only.
        without_sha2 = {} if "sha2" in self.core.features.split() else {"OPENSSL_armcap": "1"}
        libraries = {} if self.libraries is None else {"LD_LIBRARY_PATH": str(self.libraries)}
        return {
            **without_sha2,
            **libraries,
            "PATH": "/usr/bin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            # So that the same program executes the same instructions.
            "PYTHONHASHSEED": "0",
            "OPENBLAS_NUM_THREADS": "1",
            # Else onnxruntime writes to a database of telemetry, which grows.
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": ":".join(map(str, self.packages)),
        }

    def run(self, *arguments: str | Path, options: Sequence[str | Path] = ()) -> str:
        """Run Python with these arguments; returns what it printed.

        Raises `RuntimeError`, with what it printed to stderr, when it fails.
        """
        done = subprocess.run(
            self.command(*arguments, options=options),
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{self.core.name}: {shlex.join(map(str, arguments))} ended with status {done.returncode}: "
                f"{done.stderr.strip()}"
            )
        return done.stdout

    def write_launcher(self, path: Path) -> Path:
        """Write a program that behaves as this guest's Python, for scripts that take one; returns `path`."""
        path.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, self.command()))} "$@"\n')
        path.chmod(0o755)
        return path
