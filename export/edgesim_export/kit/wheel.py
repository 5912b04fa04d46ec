"""Wheels: what a file's name and content say, and how one is packed."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import zipfile
from pathlib import Path

from edgesim.errors import InputError
from edgesim.files import sha256_file

_MANYLINUX = re.compile(r"manylinux_2_(\d+)_")
_GLIBC_SYMBOL = re.compile(rb"GLIBC_2\.(\d+)")
# manylinux2014, the oldest tag that current packages carry.
OLDEST_GLIBC = 17
# Of the folders beside the packages (`NAME.data/`) the device unpacks this one only.
_DATA = "data"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheel:
    """One wheel file of a kit.

    Attributes:
        path: the file.
        name: the package, as pip normalises it: lower case, with hyphens.
        version: its version.
        glibc: the oldest minor version of glibc 2 that it runs on.
        bytes: size of the file.
        installed_bytes: size of what is in it.
        sha256: of the file.
    """

    path: Path
    name: str
    version: str
    glibc: int
    bytes: int
    installed_bytes: int
    sha256: str

    @property
    def requirement(self) -> str:
        """The line of `requirements.txt` that allows this very file only."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def read_wheel(path: Path) -> Wheel:
    """Read a wheel's facts.

    Raises:
        InputError: it is damaged, or holds what the device's installer does not unpack.
    """
    parts = path.name.removesuffix(".whl").split("-")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            damaged = archive.testzip()
            glibc = _glibc(parts[-1], archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a wheel ({error}); make the kit again") from error
    if damaged is not None:
        raise InputError(f"{path}: damaged at {damaged}; make the kit again")
    for member in members:
        folders = member.filename.split("/")
        if ".." in folders or member.filename.startswith("/"):
            raise InputError(f"{path}: holds the path {member.filename!r} outside itself")
        if folders[0].endswith(".data") and len(folders) > 1 and folders[1] not in ("", _DATA):
            raise InputError(f"{path}: holds {member.filename!r}, which a kit cannot install")
    return Wheel(
        path=path,
        name=re.sub(r"[-_.]+", "-", parts[0]).lower(),
        version=parts[1],
        glibc=glibc,
        bytes=path.stat().st_size,
        installed_bytes=sum(member.file_size for member in members),
        sha256=sha256_file(path),
    )


def _glibc(platform: str, archive: zipfile.ZipFile) -> int:
    if platform == "any":
        return OLDEST_GLIBC
    tagged = [int(minor) for minor in _MANYLINUX.findall(platform)]
    if tagged or "manylinux" in platform:
        return min(tagged, default=OLDEST_GLIBC)
    # Built or repacked here, without a promise in its name: what do its libraries ask for?
    libraries = [name for name in archive.namelist() if ".so" in name]
    return max((glibc_of(archive.read(name)) for name in libraries), default=OLDEST_GLIBC)


def glibc_of(library: bytes) -> int:
    """Return the newest minor version of glibc 2 whose symbols a shared library asks for."""
    return max((int(minor) for minor in _GLIBC_SYMBOL.findall(library)), default=OLDEST_GLIBC)


def pack_wheel(folder: Path, files: dict[str, bytes], *, name: str, version: str, tag: str) -> Path:
    """Write a wheel; the same content gives the same bytes.

    Args:
        folder: where to.
        files: path in the wheel -> content. `NAME-VERSION.dist-info/METADATA` and the like are added where
            they are missing; `WHEEL` and `RECORD` always.
        name, version: of the package.
        tag: `PYTHON-ABI-PLATFORM`.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    pure = "true" if tag.endswith("-any") else "false"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content = {f"{info}/METADATA": metadata.encode(), **files}
    content[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: edgesim\nRoot-Is-Purelib: {pure}\nTag: {tag}\n".encode()
    )
    lines = [f"{path},{_record_hash(data)},{len(data)}" for path, data in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    target = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            member = zipfile.ZipInfo(path, _EPOCH)
            member.external_attr = 0o644 << 16
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return target


def _record_hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"
