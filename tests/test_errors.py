"""The exception tree, the exit statuses, and the advice for missing packages and mistyped names."""

import re

import pytest

from edgesim import errors
from edgesim.names import nearest

TREE = {
    "UsageError": ("EdgesimError", 2),
    "InputError": ("EdgesimError", 3),
    "ImageError": ("InputError", 3),
    "BundleError": ("EdgesimError", 4),
    "IndexStoreError": ("EdgesimError", 5),
    "DamagedIndexError": ("IndexStoreError", 5),
    "EncoderMismatchError": ("IndexStoreError", 5),
    "MissingDependencyError": ("EdgesimError", 6),
    "GateError": ("EdgesimError", 7),
    "StorageError": ("EdgesimError", 8),
}


@pytest.mark.parametrize("name", TREE)
def test_base_and_exit_status(name: str) -> None:
    base, status = TREE[name]
    error = getattr(errors, name)
    assert [parent.__name__ for parent in error.__bases__] == [base]
    assert error.exit_status == status


def test_the_docstring_draws_exactly_this_tree() -> None:
    drawn = re.findall(r"^ {4,}(\w+Error) +(\d)", errors.__doc__ or "", re.MULTILINE)
    assert {name: int(status) for name, status in drawn} == {name: TREE[name][1] for name in TREE}
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.EdgesimError)
    }
    assert defined == {"EdgesimError", *TREE}


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("torch", "torch", "train"),
        ("torch.nn", "torch", "train"),
        ("cv2", "cv2", "train"),
        ("h5py", "h5py", "isc21"),
        ("cryptography.exceptions", "cryptography", "sign"),
        ("onnx", "onnx", "export"),
        ("hnswlib", "hnswlib", "hnsw"),
        ("pyarrow.parquet", "pyarrow", "parquet"),
        ("skimage", "skimage", "demo"),
        ("ai_edge_litert.interpreter", "ai_edge_litert", "tflite"),
    ],
)
def test_a_missing_package_comes_with_its_cure(module: str, package: str, extra: str) -> None:
    error = errors.missing_dependency(ModuleNotFoundError(name=module), "training")
    assert isinstance(error, errors.MissingDependencyError)
    assert str(error) == (
        f"training needs the package {package}, which is not installed. Run: pip install 'edgesim[{extra}]'"
    )


def test_a_missing_module_of_our_own_is_not_hidden_behind_advice() -> None:
    ours = ModuleNotFoundError("No module named 'edgesim.typo'", name="edgesim.typo")
    with pytest.raises(ModuleNotFoundError) as caught:
        errors.missing_dependency(ours, "training")
    assert caught.value is ours


def test_the_nearest_name() -> None:
    assert nearest("emedding_dim", ["name", "embedding_dim"]) == "; did you mean 'embedding_dim'?"


def test_no_name_is_near() -> None:
    assert nearest("xyz", ["pi-5", "pi-4b"]) == "; known: pi-4b, pi-5"
