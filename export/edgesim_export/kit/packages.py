"""Which packages a kit holds, and where each comes from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgesim.bundle import Bundle
from edgesim.errors import EdgesimError
from edgesim.signing import SIGNATURE
from edgesim_export.kit.debian import DebianArchive, repack
from edgesim_export.kit.hnswlib import make_hnswlib
from edgesim_export.kit.own_wheel import pack_edgesim
from edgesim_export.kit.pip import download_wheels
from edgesim_export.kit.target import DEBIAN_RELEASES, Target
from edgesim_export.kit.wheel import pack_wheel

# 32-bit ARM has no wheels of these. Each with the libraries that a Raspberry Pi OS Lite may lack.
_FROM_DEBIAN = {
    "numpy": ("python3-numpy", "libblas3", "liblapack3", "libgfortran5"),
    "Pillow": (
        "python3-pil",
        *("libjpeg62-turbo", "libtiff6", "libwebp7", "libwebpdemux2", "libwebpmux3", "libopenjp2-7"),
        *("libdeflate0", "libjbig0", "liblerc4", "libxcb1", "libxau6", "libxdmcp6", "libbsd0"),
        *("liblcms2-2", "libimagequant0", "libgomp1"),
    ),
}
# Checks the signature of a signed bundle.
_FROM_DEBIAN_IF_SIGNED = {"cryptography": ("python3-cryptography", "python3-cffi-backend")}


def collect_packages(
    target: Target, bundle: Bundle, folder: Path, progress: Callable[[str], None]
) -> dict[str, str]:
    """Put wheels of all that the device needs into a folder.

    Args:
        target: what for.
        bundle: a signed one brings the package `cryptography` along, which checks the signature.
        folder: where to.
        progress: is told what begins.

    Returns:
        What could not be had and can be done without: package -> reason.
    """
    missing = {}
    signed = (bundle.folder / SIGNATURE).exists()
    pack_edgesim(folder)
    with tempfile.TemporaryDirectory(prefix="edgesim-kit-") as work:
        progress(f"downloading wheels for {target.place}")
        if target.profile.architecture == "armv7l":
            packages = _FROM_DEBIAN | (_FROM_DEBIAN_IF_SIGNED if signed else {})
            _repack_from_debian(target, packages, folder, Path(work))
            download_wheels(target, ["tqdm"], folder, dependencies=False)
        else:
            signers = ["cryptography"] if signed else []
            download_wheels(target, ["numpy", "pillow", "tqdm", *signers], folder)
        progress("getting hnswlib")
        try:
            with tempfile.TemporaryDirectory(dir=work) as build:
                make_hnswlib(target, folder, Path(build))
        except EdgesimError as error:
            missing["hnswlib"] = f"{error}. Without it edgesim searches exactly"
    return missing


def _repack_from_debian(
    target: Target, packages: Mapping[str, Sequence[str]], folder: Path, work: Path
) -> None:
    release, architecture = DEBIAN_RELEASES[target.python], target.profile.architecture
    archive = DebianArchive(release, architecture, work / "debian")
    for name, debs in packages.items():
        version, files = repack(archive.fetch(debs), name, architecture)
        pack_wheel(folder, files, name=name, version=version, tag=target.tag)
