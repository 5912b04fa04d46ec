"""`install.sh` of a kit, run as a user would in a scratch folder: what it checks, what a failure leaves."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim_export.kit import install as installer
from tests.export.kit_files import PYTHON, fake_kit, install

OTHER = "aarch64" if platform.machine() != "aarch64" else "x86_64"


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Path:
    # The space is part of the test: folders on memory sticks have such names.
    return fake_kit(tmp_path_factory.mktemp("stick") / "my kit", tiny_bundle).folder


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Path:
    return fake_kit(tmp_path_factory.mktemp("stick") / "newer", tiny_bundle, "1.1").folder


@pytest.fixture
def copy(kit: Path, tmp_path: Path) -> Path:
    """A kit of one's own, to damage."""
    return Path(shutil.copytree(kit, tmp_path / "kit"))


def run(prefix: Path, *arguments: str) -> str:
    """Run what was installed, from another folder and with a hostile PYTHONPATH."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [prefix / "bin" / "edgesim", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, cwd="/", env=environment
    ).stdout


def version(prefix: Path) -> str:
    return run(prefix).split()[1]


def refusal(kit: Path, prefix: Path, *options: str, **environment: str) -> str:
    """Return the one line in which the installation is refused."""
    result = install(kit, prefix, *options, **environment)
    assert result.returncode not in (0, 141), result.stdout
    (line,) = result.stderr.splitlines()
    return line


def test_what_was_installed_runs_in_an_environment_of_its_own(
    kit: Path, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    prefix = tmp_path / "a prefix"
    result = install(kit, prefix)
    assert (result.returncode, result.stderr) == (0, "")
    staged = prefix / "releases" / ".staged"
    unpacking, tested, done = result.stdout.splitlines()
    assert unpacking == "unpacking This machine, edgesim 1.0"
    # The self-test saw the packages of the kit, not those of the Python that runs it.
    numpy = Path("lib") / f"python{PYTHON}" / "site-packages" / "numpy" / "__init__.py"
    verify = f"bundle verify {staged / 'bundle'} --engine onnxruntime"
    assert tested == f"edgesim 1.0 {verify} with numpy {staged / numpy}"
    assert done == f"installed: {prefix}/bin/edgesim"
    release = (prefix / "current").resolve()
    assert run(prefix, "a b", "c") == f"edgesim 1.0 a b c with numpy {release / numpy}\n"
    assert (release / "lib/shared/libblas.so.3").read_bytes() == b"GLIBC_2.17"
    assert Bundle.load(prefix / "bundle").encoder_id == tiny_bundle.encoder_id


def test_a_second_run_upgrades_and_keeps_one_installation_to_go_back_to(
    kit: Path, newer: Path, tmp_path: Path
) -> None:
    for source, expected in ((kit, "1.0"), (newer, "1.1"), (newer, "1.1")):
        assert install(source, tmp_path / "p").returncode == 0
        assert version(tmp_path / "p") == expected
        assert len(list((tmp_path / "p" / "releases").iterdir())) <= 2
    assert install(kit, tmp_path / "p").returncode == 0
    back = install(kit, tmp_path / "p", "--rollback")
    assert (back.returncode, version(tmp_path / "p")) == (0, "1.1")
    assert back.stdout.startswith("rolled back to 1.1-")
    # A second rollback undoes the first.
    assert install(kit, tmp_path / "p", "--rollback").returncode == 0
    assert version(tmp_path / "p") == "1.0"


def test_a_link_to_another_bundle_stays(kit: Path, newer: Path, tmp_path: Path) -> None:
    assert install(kit, tmp_path / "p").returncode == 0
    link = tmp_path / "p" / "bundle"
    link.unlink()
    link.symlink_to("/var/lib/edgesim/bundle")
    assert install(newer, tmp_path / "p").returncode == 0
    assert str(link.readlink()) == "/var/lib/edgesim/bundle"


def test_rollback_needs_something_to_go_back_to(kit: Path, tmp_path: Path) -> None:
    assert install(kit, tmp_path / "p").returncode == 0
    line = refusal(kit, tmp_path / "p", "--rollback")
    assert line == f"install.sh: {tmp_path}/p: holds no earlier installation to go back to"


def test_the_wrong_architecture(tmp_path: Path, tiny_bundle: Bundle) -> None:
    kit = fake_kit(tmp_path / "kit", tiny_bundle, architecture=f'"{OTHER}"').folder
    line = refusal(kit, tmp_path / "p")
    here = sys.implementation._multiarch  # type: ignore[attr-defined]
    assert line == (
        f"install.sh: this kit is for This machine ({OTHER}, Python {PYTHON}); the Python here is {here}: "
        "make a kit for this machine"
    )
    assert not (tmp_path / "p").exists()


def test_the_wrong_python(tmp_path: Path, tiny_bundle: Bundle) -> None:
    kit = fake_kit(tmp_path / "kit", tiny_bundle, python='["3.99"]').folder
    assert f"is cpython {PYTHON}: set PYTHON=/path/to/python3.99" in refusal(kit, tmp_path / "p")
    # No such Python at all.
    result = install(kit, tmp_path / "p", python="")
    assert result.returncode == 1
    assert result.stderr.startswith("install.sh: no python3.99 here, this kit is for This machine (")
    assert not (tmp_path / "p").exists()


def test_an_older_c_library(copy: Path, tmp_path: Path) -> None:
    rewrite(copy, glibc="2.999")
    assert "and needs glibc 2.999 or newer; here is glibc 2." in refusal(copy, tmp_path / "p")


def test_a_full_disk(copy: Path, tmp_path: Path) -> None:
    rewrite(copy, installed_bytes=10**18)
    assert f"{tmp_path}: 1000000000017 MB needed, " in refusal(copy, tmp_path / "p")


def rewrite(kit: Path, **changes: object) -> None:
    """Change facts of a kit and seal them again."""
    facts = json.loads((kit / "kit.json").read_text())
    del facts["sha256"]
    (kit / "kit.json").write_bytes(installer.seal({**facts, **changes}))


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize(
    "name", ["wheels/numpy-2.0-cp311-cp311-manylinux_2_17_x86_64.whl", "bundle/model.onnx", "kit.json"]
)
def test_a_flipped_byte_is_refused_before_anything_changes(
    copy: Path, kit: Path, tmp_path: Path, name: str, existing: bool
) -> None:
    prefix = tmp_path / "p"
    if existing:
        assert install(kit, prefix).returncode == 0
    before = sorted(str(path) for path in prefix.rglob("*"))
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    line = refusal(copy, prefix)
    assert line.startswith(f"install.sh: {copy / name}: ")
    assert line.endswith("copy the kit again")
    assert sorted(str(path) for path in prefix.rglob("*")) == before


def test_a_missing_file(copy: Path, tmp_path: Path) -> None:
    (copy / "wheels" / "onnxruntime-1.29.0-py3-none-any.whl").unlink()
    assert refusal(copy, tmp_path / "p").endswith(".whl: missing or unreadable; copy the kit again")


def test_a_folder_of_somebody_else(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "thesis.txt").write_text("no copy of it exists")
    line = refusal(kit, tmp_path / "p")
    assert line == f"install.sh: {tmp_path}/p: holds something else than edgesim; choose another --prefix"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"STATUS": "4"}, "self-test failed (exit status 4); nothing was changed"),
        (
            {"DIE_BY": str(int(signal.SIGILL))},
            "self-test: this CPU lacks instructions that the packages are built with; nothing was changed",
        ),
    ],
)
def test_a_failed_self_test_leaves_the_installation_before(
    kit: Path, newer: Path, tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    prefix = tmp_path / "p"
    assert install(kit, prefix).returncode == 0
    result = install(newer, prefix, **environment)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"install.sh: {message}"
    assert version(prefix) == "1.0"
    assert len(list((prefix / "releases").iterdir())) == 1
    # Where there was none, nothing is left.
    assert install(newer, tmp_path / "q", **environment).returncode == 1
    assert not (tmp_path / "q").exists()


def test_an_interrupted_installation_leaves_the_one_before(kit: Path, newer: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "p"
    assert install(kit, prefix).returncode == 0
    assert install(newer, prefix, STOP_INSTALLER="1").returncode == 143
    assert version(prefix) == "1.0"
    assert len(list((prefix / "releases").iterdir())) == 1


def test_after_a_power_cut_the_next_run_goes_through(kit: Path, newer: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "p"
    assert install(kit, prefix).returncode == 0
    # Cut off in the middle: half an environment is there, and nobody cleans up.
    stage = [sys.executable, "-I", "-S", newer / "install.py", "stage", "--prefix", prefix]
    subprocess.run(stage, check=True, capture_output=True)
    (prefix / "releases" / ".staged" / "release").unlink()
    assert version(prefix) == "1.0"
    assert install(newer, prefix).returncode == 0
    assert version(prefix) == "1.1"


def test_the_units(kit: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos of line 3"
    photos.mkdir()
    # Whoever runs the tests, their systemd is left alone.
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    result = install(kit, tmp_path / "p", "--photos", str(photos), PATH=path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith(f"systemd units: {tmp_path}/p/current/systemd; ")
    unit = (tmp_path / "p" / "current" / "systemd" / "edgesim-index.service").read_text()
    command = f'"{tmp_path}/p/bin/edgesim" index add /var/lib/edgesim/index "{photos}"'
    assert f'ExecStart={command} --encoder "{tmp_path}/p/bundle"\n' in unit
    # shopfloor-x86 has a budget of 250 MiB.
    assert "\nMemoryHigh=250M\nMemoryMax=500M\n" in unit
    assert "\nProtectSystem=strict\n" in unit
    assert "@" not in unit.replace("@system-service", "").replace("@privileged @resources", "")


def test_photos_must_be_a_folder_whose_name_systemd_can_read(kit: Path, tmp_path: Path) -> None:
    line = refusal(kit, tmp_path / "p", "--photos", str(tmp_path / "none"))
    assert line == f"install.sh: --photos: {tmp_path}/none is no folder"
    (tmp_path / "50%").mkdir()
    result = install(kit, tmp_path / "p", "--photos", str(tmp_path / "50%"))
    assert result.returncode == 2
    assert "expected a path without any of" in result.stderr
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--verbose", "unknown argument --verbose; usage: "),
        ("--photos", "--photos: expected a folder after it"),
    ],
)
def test_wrong_options(kit: Path, tmp_path: Path, option: str, message: str) -> None:
    assert refusal(kit, tmp_path / "p", option).startswith(f"install.sh: {message}")
