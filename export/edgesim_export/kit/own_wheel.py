"""A wheel of the edgesim that runs here, packed again from what is installed, be it from a wheel or editable.

So a kit holds the very code that made it, published or not, and needs neither a network nor a build tool.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

from edgesim import __version__
from edgesim.errors import BundleError
from edgesim_export.kit.wheel import pack_wheel

PACKAGES = ("edgesim", "edgesim_export", "firmware_profiles")


def pack_edgesim(folder: Path) -> Path:
    """Write `edgesim-VERSION-py3-none-any.whl` into a folder and return its path.

    Raises:
        BundleError: the installed metadata are those of another version than the code.
    """
    distribution = metadata.distribution("edgesim")
    if distribution.version != __version__:
        raise BundleError(
            f"edgesim {__version__} runs with the metadata of {distribution.version}; run: pip install -e ."
        )
    files: dict[str, bytes] = {}
    for package in PACKAGES:
        files |= _package_files(package)
    info = f"edgesim-{__version__}.dist-info"
    # In an editable installation seen from its own folder, the metadata of setuptools come first.
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    files[f"{info}/METADATA"] = text.encode()
    files[f"{info}/entry_points.txt"] = (distribution.read_text("entry_points.txt") or "").encode()
    licence = distribution.read_text("licenses/LICENSE")
    if licence is not None:
        files[f"{info}/licenses/LICENSE"] = licence.encode()
    return pack_wheel(folder, files, name="edgesim", version=__version__, tag="py3-none-any")


def _package_files(package: str) -> dict[str, bytes]:
    specification = importlib.util.find_spec(package)
    assert specification is not None
    assert specification.origin is not None
    root = Path(specification.origin).parent
    return {
        f"{package}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _is_litter(path.relative_to(root))
    }


def _is_litter(path: Path) -> bool:
    return path.suffix == ".pyc" or any(part == "__pycache__" or part.startswith(".") for part in path.parts)
