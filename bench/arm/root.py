"""An unpacked Debian user space for ARM: its packages' files, none of their scripts run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from edgesim_export.kit.debian import archive_address

# What Python and the wheels of the engines link to. The kit brings all else.
PYTHON_PACKAGES = ("python3.11", "python3.11-venv", "libstdc++6", "libgomp1", "zlib1g", "dash")


def cache_folder() -> Path:
    """Return where unpacked user spaces are kept: $EDGESIM_CACHE, else ~/.cache/edgesim."""
    return Path(os.environ.get("EDGESIM_CACHE") or Path.home() / ".cache" / "edgesim").absolute()


def unpacked_root(cache: Path, suite: str, architecture: str, packages: tuple[str, ...]) -> Path:
    """Return the root folder of a Debian user space, unpacked into `cache` if it is not there yet.

    Args:
        cache: folder of all of them.
        suite: `bookworm` or later.
        architecture: Debian's name of it, `arm64` or `armhf`.
        packages: what it holds, together with what these depend on.

    Raises `subprocess.CalledProcessError` when the archive cannot be reached, and `MissingDependencyError`
    when this machine's apt lists none.
    """
    made_from = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    root = cache / f"{suite}-{architecture}-{made_from}"
    if root.exists():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=cache, prefix=f".{root.name}."))
    try:
        temporary.chmod(0o755)
        command = ["mmdebstrap", "--quiet", "--variant=extract", f"--architectures={architecture}"]
        source = f"deb {archive_address()} {suite} main"
        subprocess.run([*command, f"--include={','.join(packages)}", suite, temporary, source], check=True)
        _merge_usr(temporary)
        temporary.rename(root)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return root


def _merge_usr(root: Path) -> None:
    """Make the links that a script of newer releases would make."""
    for name in ("bin", "sbin", "lib"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
