"""Where the packages of a kit come from: edgesim itself, wheels, Debian, and how the failures of pip read."""

import base64
import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import edgesim
from edgesim.bundle import Bundle
from edgesim.errors import EdgesimError, InputError, MissingDependencyError, UsageError
from edgesim.profiles import load_profile
from edgesim_export.kit import debian, hnswlib, packages, pip
from edgesim_export.kit.own_wheel import pack_edgesim
from edgesim_export.kit.target import Target
from edgesim_export.kit.wheel import pack_wheel, read_wheel

PI = Target(profile=load_profile("pi-4b"), python="3.11", engine="litert")


def zip_file(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_edgesim_packed_again_is_a_whole_wheel(tmp_path: Path) -> None:
    path = pack_edgesim(tmp_path)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        info = f"edgesim-{edgesim.__version__}.dist-info"
        rows = list(csv.reader(io.StringIO(archive.read(f"{info}/RECORD").decode())))
        assert {row[0] for row in rows} == names
        for name, digest, size in rows[:-1]:
            data = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (digest, int(size)) == (f"sha256={expected}", len(data)), name
        assert b"edgesim = edgesim.cli.main:main" in archive.read(f"{info}/entry_points.txt")
    root = Path(edgesim.__file__).parent
    assert {name for name in names if name.startswith("edgesim/") and name.endswith(".py")} == {
        f"edgesim/{file.relative_to(root).as_posix()}" for file in root.rglob("*.py")
    }
    assert {"edgesim/builtin/copy/bundle/model.tflite", "firmware_profiles/pi-4b.toml"} <= names
    assert "edgesim_export/kit/templates/install.sh" in names
    assert not [name for name in names if "__pycache__" in name]
    # The same content, the same bytes; and Python can import it.
    first = path.read_bytes()
    assert pack_edgesim(tmp_path).read_bytes() == first
    code = "import edgesim, importlib.metadata as m; print(edgesim.__file__, m.version('edgesim'))"
    program = f"import sys; sys.path.insert(0, {str(path)!r}); {code}"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == f"{path}/edgesim/__init__.py {edgesim.__version__}\n"


def test_metadata_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgesim_export.kit.own_wheel.__version__", "9.9")
    with pytest.raises(
        EdgesimError, match=r"edgesim 9\.9 runs with the metadata of .*; run: pip install -e \."
    ):
        pack_edgesim(tmp_path)


@pytest.mark.parametrize(
    ("tag", "library", "glibc"),
    [
        # The lowest of the tags that one file carries counts.
        ("cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64", b"GLIBC_2.34", 27),
        ("cp310-abi3-manylinux2014_aarch64", b"GLIBC_2.34", 17),
        ("py3-none-any", b"GLIBC_2.34", 17),
        # Without a promise in the name the libraries say it.
        ("cp311-cp311-linux_aarch64", b"..GLIBC_2.17\0GLIBC_2.34\0GLIBC_2.4\0", 34),
    ],
)
def test_the_c_library_that_a_wheel_needs(tmp_path: Path, tag: str, library: bytes, glibc: int) -> None:
    path = zip_file(tmp_path / f"some_thing-1.5-{tag}.whl", {"some/x.so": library, "some/__init__.py": b""})
    wheel = read_wheel(path)
    assert (wheel.name, wheel.version, wheel.glibc) == ("some-thing", "1.5", glibc)
    assert (wheel.installed_bytes, wheel.bytes) == (len(library), path.stat().st_size)
    assert (
        wheel.requirement == f"some-thing==1.5 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    )


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("x-1.data/scripts/run", "which a kit cannot install"),
        ("../outside.py", "outside itself"),
        ("/etc/passwd", "outside itself"),
    ],
)
def test_wheels_that_a_kit_cannot_install(tmp_path: Path, member: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_wheel(zip_file(tmp_path / "x-1-py3-none-any.whl", {member: b"x"}))


def test_a_truncated_wheel(tmp_path: Path) -> None:
    path = pack_wheel(tmp_path, {"x.py": b"x" * 1000}, name="x", version="1", tag="py3-none-any")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"not a wheel .*; make the kit again"):
        read_wheel(path)


def deb(folder: Path, name: str, files: dict[str, bytes], links: dict[str, str]) -> Path:
    """Write a Debian package as deb(5) describes it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as archive:
        for file, data in files.items():
            member = tarfile.TarInfo(f"./{file}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for link, target in links.items():
            member = tarfile.TarInfo(f"./{link}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    package = b"!<arch>\n"
    for part, data in (
        ("debian-binary", b"2.0"),
        ("control.tar.xz", b""),
        ("data.tar.xz", stream.getvalue()),
    ):
        package += f"{part:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data
        package += b"\n" * (len(data) % 2)
    path = folder / f"{name}_1-2_armhf.deb"
    path.write_bytes(package)
    return path


@pytest.mark.parametrize("metadata", ["numpy-1.24.2.egg-info", "numpy-1.24.2.dist-info/METADATA"])
def test_debian_packages_as_a_wheel(tmp_path: Path, metadata: str) -> None:
    modules = "usr/lib/python3/dist-packages"
    libraries = "usr/lib/arm-linux-gnueabihf"
    python = deb(
        tmp_path,
        "python3-numpy",
        {f"{modules}/numpy/__init__.py": b"import x", f"{modules}/{metadata}": b"Name: numpy"},
        {},
    )
    library = deb(
        tmp_path,
        "libblas3",
        {
            f"{libraries}/blas/libblas.so.3.11.0": b"blas",
            f"{libraries}/libplain.so.0": b"plain",
            "usr/share/doc/libblas3/copyright": b"BSD",
            "usr/share/doc/libblas3/NEWS": b"",
        },
        {f"{libraries}/blas/libblas.so.3": "libblas.so.3.11.0"},
    )
    version, files = debian.repack([python, library], "numpy", "armv7l")
    assert version == "1.24.2"
    assert files == {
        "numpy/__init__.py": b"import x",
        "numpy-1.24.2.dist-info/METADATA": b"Name: numpy",
        "numpy-1.24.2.data/data/lib/shared/libblas.so.3": b"blas",
        "numpy-1.24.2.data/data/lib/shared/libplain.so.0": b"plain",
        "numpy-1.24.2.dist-info/licenses/libblas3": b"BSD",
    }


def test_a_debian_package_without_metadata_or_data(tmp_path: Path) -> None:
    empty = deb(tmp_path, "python3-numpy", {"usr/lib/python3/dist-packages/numpy/__init__.py": b""}, {})
    with pytest.raises(InputError, match="holds no metadata"):
        debian.repack([empty], "numpy", "armv7l")
    empty.write_bytes(empty.read_bytes()[:100])
    with pytest.raises(InputError, match=r"holds no data\.tar; fetch it again"):
        debian.repack([empty], "numpy", "armv7l")


@pytest.fixture
def pip_says(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Put a pip in place that fails with the text under `says`; `command` is what it was called with."""
    record: dict[str, list[str]] = {"says": [""], "command": []}

    def fail(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        record["command"] = command
        return subprocess.CompletedProcess(command, 1, "", record["says"][0])

    monkeypatch.setattr(subprocess, "run", fail)
    return record


@pytest.mark.parametrize(
    ("says", "error", "message"),
    [
        (
            "WARNING: Retrying ... NewConnectionError('...')\n"
            "ERROR: No matching distribution found for ai-edge-litert>=2.1",
            InputError,
            "the package index cannot be reached, which a kit takes its wheels from; try again",
        ),
        (
            "ERROR: No matching distribution found for ai-edge-litert>=2.1",
            UsageError,
            "pip finds no wheel of ai-edge-litert>=2.1 for Python 3.11 on aarch64; try --engine onnxruntime",
        ),
        ("ERROR: one\nERROR: No space left", InputError, "pip failed: No space left"),
    ],
)
def test_what_pip_says_in_one_line(
    tmp_path: Path,
    pip_says: dict[str, list[str]],
    says: str,
    error: type[EdgesimError],
    message: str,
) -> None:
    pip_says["says"] = [says]
    with pytest.raises(error) as caught:
        pip.download_wheels(PI, ["numpy", "pillow", "tqdm"], tmp_path)
    assert str(caught.value) == message
    command = pip_says["command"]
    assert {"--only-binary=:all:", "manylinux_2_28_aarch64", "manylinux2014_aarch64", "numpy>=1.26"} <= set(
        command
    )
    assert "ai-edge-litert>=2.1" in command
    assert command[command.index("--python-version") + 1] == "3.11"


def test_32_bit_arm_takes_from_pip_only_what_debian_does_not_give(
    tmp_path: Path, pip_says: dict[str, list[str]]
) -> None:
    pip_says["says"] = ["ERROR: stop"]
    target = Target(profile=load_profile("pi-zero-2w-32bit"), python="3.11", engine="tflite-runtime")
    with pytest.raises(InputError):
        pip.download_wheels(target, ["tqdm"], tmp_path, dependencies=False)
    command = pip_says["command"]
    last = command[command.index("--no-deps") :]
    assert [argument for argument in last if "numpy" in argument] == []
    assert "tflite-runtime==2.14.0" in last


def test_a_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="python -m ensurepip"):
        pip.pip_download(["numpy"], tmp_path)


def test_without_a_compiler_the_kit_lacks_hnswlib_and_says_so(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "download_wheels", lambda *_: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    steps: list[str] = []
    foreign = Target(profile=load_profile("pi-4b"), python="3.11", engine="onnxruntime")
    missing = packages.collect_packages(foreign, tiny_bundle, tmp_path, steps.append)
    assert missing == {
        "hnswlib": "needs the compiler aarch64-linux-gnu-g++; run: apt-get install g++-aarch64-linux-gnu. "
        "Without it edgesim searches exactly"
    }
    assert steps == ["downloading wheels for Python 3.11 on aarch64", "getting hnswlib"]
    # Debian 13 has it ready made, but no apt is here either.
    trixie = Target(profile=load_profile("pi-4b"), python="3.13", engine="onnxruntime")
    assert packages.collect_packages(trixie, tiny_bundle, tmp_path, steps.append)["hnswlib"].startswith(
        "needs apt-get, so make the kit on Debian. "
    )


def test_the_compiler_of_a_32_bit_system_on_a_64_bit_kernel_is_none_for_64_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("sys.maxsize", 2**31 - 1)
    monkeypatch.setattr("shutil.which", lambda name: name if name == "g++" else None)
    with pytest.raises(MissingDependencyError, match=r"^needs the compiler aarch64-linux-gnu-g\+\+; run: "):
        hnswlib.make_hnswlib(PI, tmp_path, tmp_path)


@pytest.fixture
def apt_lists(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put an apt in place whose sources are the addresses in this list."""
    addresses: list[str] = []

    def answer(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[:2] == ["apt-get", "indextargets"]
        return subprocess.CompletedProcess(command, 0, "\n".join([*addresses, ""]), "")

    monkeypatch.setattr(subprocess, "run", answer)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    return addresses


def test_the_archive_is_the_one_that_apt_lists(apt_lists: list[str]) -> None:
    apt_lists += ["http://mirror.invalid/debian-security/", "http://mirror.invalid/debian/"]
    assert debian.archive_address() == "http://mirror.invalid/debian/"


@pytest.mark.parametrize(
    "listed", [[], ["http://mirror.invalid/ubuntu/", "http://mirror.invalid/debian-security/"]]
)
def test_an_apt_without_an_archive_of_debian(
    tmp_path: Path,
    tiny_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    apt_lists: list[str],
    listed: list[str],
) -> None:
    apt_lists += listed
    monkeypatch.setattr(packages, "download_wheels", lambda *_: None)
    refusal = "needs an archive of Debian, and the sources of this machine's apt list none; add one to them"
    trixie = Target(profile=load_profile("pi-4b"), python="3.13", engine="onnxruntime")
    missing = packages.collect_packages(trixie, tiny_bundle, tmp_path, lambda step: None)
    assert missing == {"hnswlib": f"{refusal}. Without it edgesim searches exactly"}
    # Of 32 bits NumPy itself is Debian's.
    small = Target(profile=load_profile("pi-zero-2w-32bit"), python="3.11", engine="tflite-runtime")
    with pytest.raises(MissingDependencyError) as caught:
        packages.collect_packages(small, tiny_bundle, tmp_path, lambda step: None)
    assert str(caught.value) == refusal


def test_a_signed_bundle_brings_what_checks_signatures(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(packages, "download_wheels", lambda target, names, folder: asked.append(names))
    monkeypatch.setattr(packages, "make_hnswlib", lambda *_: None)
    folder = tmp_path / "signed"
    folder.mkdir()
    for path in tiny_bundle.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for signed in (False, True):
        if signed:
            (folder / "signature.json").write_text("{}")
        packages.collect_packages(PI, Bundle.load(folder), tmp_path, lambda step: None)
    assert asked == [["numpy", "pillow", "tqdm"], ["numpy", "pillow", "tqdm", "cryptography"]]


def test_a_kit_needs_no_torch() -> None:
    program = "import sys; import edgesim_export.kit.build; print({'torch', 'onnx'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env={"PYTHONPATH": f"{root}:{root / 'export'}"},
    )
    assert result.stdout == "set()\n"
