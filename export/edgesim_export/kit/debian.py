"""Debian's packages for another architecture or release: fetched by apt, repacked as wheels.

apt works in a folder of its own here: it needs no root, leaves this machine's package lists alone, and checks
signatures as ever.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from edgesim.errors import InputError, MissingDependencyError
from edgesim_export.kit.install import LIBRARIES, MACHINES

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_METADATA = re.compile(r"\.(?:egg|dist)-info(?:/|$)")
_PYTHON_PACKAGES = "usr/lib/python3/dist-packages/"


class DebianArchive:
    """The packages of one Debian release for one architecture.

    Args:
        release: `bookworm` or `trixie`.
        architecture: as `uname -m` prints it.
        folder: an empty one, for apt's lists and the packages.

    Raises:
        MissingDependencyError: this machine has no apt, or its sources list no archive of Debian.
        InputError: the archive cannot be reached.
    """

    def __init__(self, release: str, architecture: str, folder: Path) -> None:
        address = archive_address()
        self._folder = folder.resolve()
        for name in ("state/lists/partial", "cache/archives/partial", "packages"):
            (self._folder / name).mkdir(parents=True)
        (self._folder / "status").touch()
        keys = f" [signed-by={_KEYS}]" if _KEYS.exists() else ""
        (self._folder / "sources").write_text(f"deb{keys} {address} {release} main\n")
        self._options = _options(self._folder, ARCHITECTURES[architecture])
        self._apt("update")

    def fetch(self, packages: Iterable[str]) -> list[Path]:
        """Download packages, without what they depend on; returns their files."""
        before = set((self._folder / "packages").iterdir())
        self._apt("download", *packages)
        return sorted(set((self._folder / "packages").iterdir()) - before)

    def _apt(self, *arguments: str) -> None:
        command = ["apt-get", *self._options, "--quiet", "--quiet", *arguments]
        result = subprocess.run(
            command, cwd=self._folder / "packages", capture_output=True, text=True, check=False
        )
        # `apt-get update` succeeds with old lists when the network is away; here there are none.
        if result.returncode or "W: Failed to fetch" in result.stderr:
            line = next((x for x in result.stderr.splitlines() if x.startswith(("E:", "W:"))), "")
            raise InputError(f"Debian's archive gives no {arguments[-1]} ({line[3:] or 'apt failed'})")


def _options(folder: Path, architecture: str) -> list[str]:
    values = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources",
        "Dir::Etc::sourceparts": "-",
    }
    return [option for key, value in values.items() for option in ("-o", f"{key}={value}")]


def archive_address() -> str:
    """Return the address of the Debian archive that this machine's own packages come from.

    Raises:
        MissingDependencyError: this machine has no apt, or its sources list no archive of Debian.
    """
    if shutil.which("apt-get") is None:
        raise MissingDependencyError("needs apt-get, so make the kit on Debian")
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    archives = sorted(address for address in listed if address.rstrip("/").endswith("/debian"))
    if not archives:
        raise MissingDependencyError(
            "needs an archive of Debian, and the sources of this machine's apt list none; add one to them"
        )
    return archives[0]


def read_package(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files of a Debian package, path -> content, and its symbolic links, path -> target."""
    files, links = {}, {}
    with tarfile.open(fileobj=io.BytesIO(_data_archive(path.read_bytes()))) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.issym():
                links[name] = member.linkname
            elif member.isfile():
                stream = archive.extractfile(member)
                assert stream is not None
                files[name] = stream.read()
    return files, links


def _data_archive(package: bytes) -> bytes:
    """Return the member `data.tar.*` of a package, which is an `ar` archive (deb(5))."""
    position = len(b"!<arch>\n")
    while position + 60 <= len(package):
        header = package[position : position + 60]
        size = int(header[48:58])
        if header.startswith(b"data.tar"):
            return package[position + 60 : position + 60 + size]
        position += 60 + size + size % 2
    raise InputError("a Debian package holds no data.tar; fetch it again")


def repack(packages: Iterable[Path], name: str, architecture: str) -> tuple[str, dict[str, bytes]]:
    """Turn Debian packages into the content of one wheel.

    Args:
        packages: that of the Python package, and those of the shared libraries that it needs.
        name: of the Python package, as its metadata spell it.
        architecture: as `uname -m` prints it.

    Returns:
        The version, and the wheel's files: packages at the top, shared libraries below the wheel's data.
    """
    modules: dict[str, bytes] = {}
    libraries: dict[str, bytes] = {}
    licences: dict[str, bytes] = {}
    for path in packages:
        files, links = read_package(path)
        modules |= {
            file.removeprefix(_PYTHON_PACKAGES): data
            for file, data in files.items()
            if file.startswith(_PYTHON_PACKAGES)
        }
        libraries |= _libraries(files, links, f"usr/lib/{MACHINES[architecture]}/")
        for file in files:
            if file.endswith("/copyright"):
                licences[path.name.partition("_")[0]] = files[file]
    version, modules = _split_metadata(modules, name)
    stem = f"{name}-{version}"
    return version, {
        **modules,
        **{f"{stem}.data/data/{LIBRARIES}/{file}": data for file, data in libraries.items()},
        **{f"{stem}.dist-info/licenses/{package}": text for package, text in licences.items()},
    }


def _libraries(files: dict[str, bytes], links: dict[str, str], folder: str) -> dict[str, bytes]:
    """Return shared libraries under the name that programs ask for, which is often a link to the file."""
    found = {file: data for file, data in files.items() if file.startswith(folder) and ".so" in file}
    named = {}
    for link, target in links.items():
        file = str(PurePosixPath(link).parent / target)
        if file in found:
            named[PurePosixPath(link).name] = found[file]
    aliased = {str(PurePosixPath(link).parent / target) for link, target in links.items()}
    plain = {PurePosixPath(file).name: data for file, data in found.items() if file not in aliased}
    return plain | named


def _split_metadata(modules: dict[str, bytes], name: str) -> tuple[str, dict[str, bytes]]:
    """Give Debian's metadata, egg-info in bookworm, the form of a wheel's."""
    pattern = re.compile(rf"{name}-([^/]+)\.(?:egg-info(?:/PKG-INFO)?|dist-info/METADATA)", re.IGNORECASE)
    found = [(match[1], data) for file, data in modules.items() if (match := pattern.fullmatch(file))]
    if not found:
        raise InputError(f"Debian's package of {name} holds no metadata")
    version, text = found[0]
    rest = {file: data for file, data in modules.items() if not _METADATA.search(file)}
    return version, {**rest, f"{name}-{version}.dist-info/METADATA": text}
