"""Making a kit: what it is for, what it holds, and what is refused before pip is asked."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.errors import BundleError, InputError, UsageError
from edgesim.profiles import load_profile
from edgesim_export.kit.build import KitRequest, make_kit
from edgesim_export.kit.target import choose_target
from tests.export.kit_files import PYTHON, fake_kit, fake_packages


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_a_kit_holds(tmp_path: Path, tiny_bundle: Bundle) -> None:
    kit = fake_kit(tmp_path / "kit", tiny_bundle)
    facts = json.loads((tmp_path / "kit" / "kit.json").read_text())
    found = {
        path.relative_to(kit.folder).as_posix(): path for path in kit.folder.rglob("*") if path.is_file()
    }
    del found["kit.json"]
    assert {name: file["sha256"] for name, file in facts["files"].items()} == {
        name: sha256(path) for name, path in found.items()
    }
    assert kit.bytes == sum(path.stat().st_size for path in found.values())
    assert facts["packages"] == {"edgesim": "1.0", "numpy": "2.0", "onnxruntime": "1.29.0"}
    assert facts["missing"] == {"hnswlib": "no compiler"}
    assert (facts["profile"], facts["python"], facts["engine"]) == ("own", PYTHON, "onnxruntime")
    assert facts["glibc"] == "2.17"
    assert Bundle.load(kit.folder / "bundle").encoder_id == tiny_bundle.encoder_id
    # pip's form for packages that must be these very files.
    lines = (kit.folder / "requirements.txt").read_text().splitlines()[1:]
    (wheel,) = (kit.folder / "wheels").glob("numpy-*.whl")
    assert f"numpy==2.0 --hash=sha256:{sha256(wheel)}" in lines
    assert len(lines) == 3
    assert "- hnswlib: no compiler" in (kit.folder / "README.md").read_text().splitlines()


def test_the_choice_of_engine(tiny_bundle: Bundle) -> None:
    def engine(profile: str, bundle: Bundle, python: str | None = None) -> str:
        return choose_target(load_profile(profile), python, None, bundle).engine

    from edgesim.runtime.embedder import open_bundle

    both = open_bundle("copy")
    assert engine("pi-4b", both) == "litert"
    assert engine("shopfloor-x86", both) == "onnxruntime"
    assert engine("pi-zero-2w-32bit", both) == "tflite-runtime"
    # The tiny bundle holds an ONNX model only.
    assert engine("pi-4b", tiny_bundle, "3.13") == "onnxruntime"
    assert choose_target(load_profile("pi-4b"), None, None, both).python == "3.11"


@pytest.mark.parametrize(
    ("profile", "python", "engine", "message"),
    [
        ("pi-4b", "3.12", None, "--python: profile pi-4b has Python 3.11 and 3.13, got '3.12'"),
        ("pi-4b", None, "litrt", "--engine: unknown engine 'litrt'; did you mean 'litert'?"),
        (
            "pi-4b",
            "3.13",
            "tflite-runtime",
            "tflite-runtime has no wheels for Python 3.13 on aarch64; use --engine onnxruntime",
        ),
        (
            "pi-4b",
            None,
            "litert",
            "litert runs tflite models, and {bundle} holds onnx only; use --engine onnxruntime",
        ),
        (
            "pi-zero-2w-32bit",
            None,
            None,
            "tflite-runtime runs tflite models, and {bundle} holds onnx only; "
            "no engine of profile pi-zero-2w-32bit is left",
        ),
    ],
)
def test_what_does_not_go_together(
    tiny_bundle: Bundle, profile: str, python: str | None, engine: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose_target(load_profile(profile), python, engine, tiny_bundle)
    assert str(caught.value) == message.format(bundle=tiny_bundle.folder)


def test_the_platforms_that_pip_is_asked_for(tiny_bundle: Bundle) -> None:
    tags = choose_target(load_profile("pi-4b"), None, None, tiny_bundle).platforms
    assert tags[0] == "manylinux_2_36_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    assert len(tags) == 21


def request(tmp_path: Path, bundle: Bundle, **options: bool) -> KitRequest:
    return KitRequest(bundle=bundle, profile=load_profile("pi-4b"), out=tmp_path / "kit", **options)


def test_an_existing_folder_is_replaced_only_if_asked_for(tmp_path: Path, tiny_bundle: Bundle) -> None:
    make_kit(request(tmp_path, tiny_bundle), collect=fake_packages())
    with pytest.raises(UsageError, match=r"kit: already exists; choose another folder or pass --overwrite"):
        make_kit(request(tmp_path, tiny_bundle), collect=fake_packages())
    kit = make_kit(request(tmp_path, tiny_bundle, overwrite=True, tar=True), collect=fake_packages("1.1"))
    assert kit.facts["packages"]["edgesim"] == "1.1"
    assert {path.name for path in tmp_path.iterdir()} == {"kit", "kit.tar"}
    with tarfile.open(tmp_path / "kit.tar") as archive:
        assert {"kit/install.sh", "kit/wheels/edgesim-1.1-py3-none-any.whl"} <= set(archive.getnames())
        assert archive.getmember("kit/install.sh").mode == 0o755
    # Somebody's photos are not a kit.
    (tmp_path / "kit" / "kit.json").unlink()
    with pytest.raises(UsageError, match="already exists"):
        make_kit(request(tmp_path, tiny_bundle, overwrite=True), collect=fake_packages())


def test_the_bundle_in_a_kit_is_the_one_that_was_opened(tmp_path: Path, tiny_bundle: Bundle) -> None:
    """Another export may replace it at any time, and packages take minutes to download."""
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.folder, folder)
    opened = Bundle.load(folder)

    def collect_slowly(*arguments: Any) -> dict[str, str]:
        shutil.rmtree(folder)
        shutil.copytree(bundle_folder("copy"), folder)
        return fake_packages()(*arguments)

    kit = make_kit(request(tmp_path, opened), collect=collect_slowly)
    assert Bundle.load(kit.folder / "bundle").manifest_sha256 == tiny_bundle.manifest_sha256
    assert kit.facts["encoder"] == tiny_bundle.title


@pytest.mark.parametrize("change", ["another", "half"])
def test_a_bundle_that_has_changed_since_it_was_opened(
    tmp_path: Path, tiny_bundle: Bundle, change: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.folder, folder)
    opened = Bundle.load(folder)
    shutil.copytree(bundle_folder("copy"), folder, dirs_exist_ok=True)
    if change == "half":
        (folder / "model.onnx").unlink()
    with pytest.raises(BundleError) as caught:
        make_kit(request(tmp_path, opened), collect=fake_packages())
    assert str(caught.value) == f"{folder}: has changed while the kit was made; make the kit again"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_failure_leaves_the_kit_that_was_there(tmp_path: Path, tiny_bundle: Bundle) -> None:
    def fail(*_: object) -> dict[str, str]:
        raise InputError("no network")

    make_kit(request(tmp_path, tiny_bundle), collect=fake_packages())
    before = sha256(tmp_path / "kit" / "kit.json")
    with pytest.raises(InputError, match="no network"):
        make_kit(request(tmp_path, tiny_bundle, overwrite=True), collect=fail)
    assert sha256(tmp_path / "kit" / "kit.json") == before
    assert [path.name for path in tmp_path.iterdir()] == ["kit"]
