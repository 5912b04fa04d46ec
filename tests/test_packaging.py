"""What is in the wheel: all data files, none of the repository's own."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgesim.builtin import ENCODERS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names of the files in a wheel built from a copy of the tracked files, and its metadata.

    A copy, because setuptools would also pack what an old egg-info in the tree remembers.
    """
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        "out",
        ".",
    ]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (path,) = (source / "out").glob("edgesim-*.whl")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        return names, archive.read(metadata).decode()


def relative(folder, pattern, root=ROOT):
    return {path.relative_to(root).as_posix() for path in (root / folder).glob(pattern) if path.is_file()}


def test_data_files_are_in_the_wheel(wheel):
    names, _ = wheel
    profiles = relative("firmware_profiles", "*.toml")
    configs = relative("edgesim/training/configs", "*.toml")
    recipes = relative("edgesim_export/recipes", "*.toml", ROOT / "export")
    builtin = {name for name in relative("edgesim/builtin", "**/*") if "__pycache__" not in name}
    assert len(profiles) == 7
    assert configs
    assert recipes
    templates = relative("edgesim_export/kit/templates", "*", ROOT / "export")
    assert "edgesim_export/kit/templates/install.sh" in templates
    for name in ENCODERS:
        files = {"encoder.pt", "model_card.md", "bundle/manifest.json", "bundle/model.onnx"}
        assert {f"edgesim/builtin/{name}/{file}" for file in files} <= builtin
    assert profiles | configs | recipes | templates | builtin <= names
    assert {"edgesim/py.typed", "edgesim_export/py.typed", "firmware_profiles/README.md"} <= names


def test_every_module_is_in_the_wheel_and_nothing_else(wheel):
    names, _ = wheel
    modules = relative("edgesim", "**/*.py") | relative("firmware_profiles", "*.py")
    modules |= relative("edgesim_export", "**/*.py", ROOT / "export")
    assert {name for name in names if name.endswith(".py")} == modules
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "edgesim",
        "edgesim_export",
        "firmware_profiles",
    }


def test_the_licence_and_the_light_dependencies(wheel):
    names, metadata = wheel
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    required = [
        line.split(": ", 1)[1] for line in metadata.splitlines() if line.startswith("Requires-Dist: ")
    ]
    plain = {requirement for requirement in required if "extra ==" not in requirement}
    for heavy in ("torch", "tensorflow", "onnx ", "onnx>", "jax", "litert-torch", "hnswlib"):
        assert not any(requirement.startswith(heavy) for requirement in plain)
    assert any(requirement.startswith("onnxruntime<1.30,>=1.20") for requirement in plain)
