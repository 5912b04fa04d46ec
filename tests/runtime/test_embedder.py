"""Embedder: embeddings against NumPy, every kind of source, and the self-test."""

import dataclasses
import io
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, ImageError
from edgesim.runtime import embedder as embedder_module
from edgesim.runtime.embedder import Embedder, open_bundle
from tests.helpers import DIM, SIZE, TinyEncoder, photo, png, write_tiny_bundle


@pytest.fixture(scope="module")
def embedder(tiny_bundle: Bundle) -> Embedder:
    return Embedder(tiny_bundle)


def test_embeddings_equal_those_computed_in_numpy(embedder: Embedder) -> None:
    pixels = np.stack([photo(seed) for seed in range(5)])
    expected = np.stack([TinyEncoder().embed(image) for image in pixels])
    embeddings = embedder.embed_pixels(pixels)
    assert (embeddings.shape, embeddings.dtype) == ((5, DIM), np.float32)
    np.testing.assert_allclose(embeddings, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-6)


def test_the_result_for_an_image_does_not_depend_on_the_others(embedder: Embedder) -> None:
    pixels = np.stack([photo(seed) for seed in range(3)])
    together = embedder.embed_pixels(pixels)
    assert np.array_equal(together, np.concatenate([embedder.embed_pixels(p[None]) for p in pixels]))


def test_a_model_that_gives_other_embeddings_than_the_manifest_says(tiny_bundle: Bundle) -> None:
    spec = dataclasses.replace(tiny_bundle.spec, embedding_dim=DIM + 1)
    wrong = Embedder(dataclasses.replace(tiny_bundle, spec=spec))
    with pytest.raises(BundleError) as caught:
        wrong.embed_pixels(photo(0)[None])
    assert str(caught.value) == (
        f"{tiny_bundle.folder}: its model gives embeddings of shape ({DIM},), the manifest says "
        f"({DIM + 1},); get the bundle again"
    )


def test_a_model_that_fails_on_the_pixels_that_the_manifest_says(tiny_bundle: Bundle) -> None:
    spec = dataclasses.replace(tiny_bundle.spec, input_size=SIZE // 2)
    wrong = Embedder(dataclasses.replace(tiny_bundle, spec=spec))
    with pytest.raises(BundleError) as caught:
        wrong.embed_pixels(photo(0)[None, ::2, ::2])
    start = f"{tiny_bundle.folder}: its model fails in onnxruntime {onnxruntime.__version__} ("
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith("; get the bundle again")
    assert "\n" not in str(caught.value)


def test_no_pixels_give_no_embeddings(embedder: Embedder) -> None:
    empty = embedder.embed_pixels(np.empty((0, SIZE, SIZE, 3), dtype=np.uint8))
    assert (empty.shape, empty.dtype) == ((0, DIM), np.float32)


@pytest.mark.parametrize(
    "pixels", [np.zeros((1, SIZE, SIZE, 3), np.float32), np.zeros((1, SIZE, SIZE + 1, 3), np.uint8)]
)
def test_other_shapes_and_dtypes_are_refused(embedder: Embedder, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"pixels must be uint8 of shape \(N, 32, 32, 3\), got "):
        embedder.embed_pixels(pixels)


def test_every_kind_of_source_gives_the_same_embedding(embedder: Embedder, tmp_path: Path) -> None:
    data = png(photo(7))
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    expected = TinyEncoder().embed(photo(7))
    for source in (path, data, Image.open(io.BytesIO(data)), Image.open(path).convert("RGBA")):
        np.testing.assert_allclose(embedder.embed_image(source), expected, atol=1e-6)


def test_an_image_that_cannot_be_decoded_is_called_by_its_name(embedder: Embedder) -> None:
    with pytest.raises(ImageError, match=r"^parcel 7: not an image"):
        embedder.embed_image(b"no image at all", name="parcel 7")


def test_it_says_which_engine_runs(embedder: Embedder) -> None:
    import onnxruntime

    assert (embedder.engine, embedder.engine_version) == ("onnxruntime", onnxruntime.__version__)


def test_self_test_returns_the_lowest_cosine(embedder: Embedder) -> None:
    assert embedder.self_test() == pytest.approx(1.0, abs=1e-6)


def test_self_test_refuses_an_encoder_that_computes_something_else(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    shutil.copy(write_tiny_bundle(tmp_path / "wrong", seed=5).model_path("onnx"), bundle.model_path("onnx"))
    embedder = Embedder(bundle)
    cosines = [
        float(TinyEncoder(0).embed(photo(1000 + i)) @ TinyEncoder(5).embed(photo(1000 + i))) for i in range(3)
    ]
    with pytest.raises(BundleError) as caught:
        embedder.self_test()
    assert str(caught.value) == (
        f"{bundle.folder}: self-test failed, onnxruntime {embedder.engine_version} reproduces the golden "
        f"embeddings with a cosine of {min(cosines):.4f}, the limit is 0.97; try another --engine"
    )


def test_self_test_refuses_embeddings_that_are_no_numbers(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan = np.full(DIM, np.nan, dtype=np.float32)
    monkeypatch.setattr(embedder, "embed_image", lambda *args, **kwargs: nan)
    with pytest.raises(BundleError, match="with a cosine of nan"):
        embedder.self_test()


def test_a_bundle_for_another_preprocessing_is_refused(tiny_bundle: Bundle) -> None:
    spec = dataclasses.replace(tiny_bundle.spec, preprocess_version=99)
    with pytest.raises(BundleError) as caught:
        Embedder(dataclasses.replace(tiny_bundle, spec=spec))
    assert str(caught.value) == (
        f"{tiny_bundle.folder}: made for preprocessing version 99, this edgesim has version "
        f"{embedder_module.PREPROCESS_VERSION}; install the matching edgesim or export it again"
    )


def test_open_bundle_takes_a_folder_or_a_built_in_name(
    tiny_bundle: Bundle, other_bundle: Bundle, builtin_bundles: None
) -> None:
    assert open_bundle(str(tiny_bundle.folder)).encoder_id == tiny_bundle.encoder_id
    assert open_bundle("copy").folder == tiny_bundle.folder
    assert open_bundle("similar").folder == other_bundle.folder


def test_open_bundle_refuses_what_is_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Built-in names are names only: with a folder in front they are a path.
    for name, shown in (("builtin", "builtin"), ("./copy", "copy"), ("none/similar", "none/similar")):
        with pytest.raises(BundleError) as caught:
            open_bundle(name)
        assert str(caught.value) == (
            f"{shown}: no such folder, and not one of copy, similar; make a bundle with: edgesim export"
        )
