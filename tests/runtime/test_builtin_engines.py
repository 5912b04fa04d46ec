"""The built-in bundles in every engine: real int8 models, ONNX and TFLite."""

import numpy as np
import pytest

from edgesim.builtin import ENCODERS
from edgesim.metrics import paired_cosine
from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.sample_photos import sample_photos
from tests.helpers import INSTALLED_ENGINES

# How closely engines that round otherwise agree: measured, and a little less.
AGREEMENT = {"copy": 0.995, "similar": 0.98}
PHOTOS = sample_photos("these tests")[:6]


@pytest.fixture(scope="module", params=ENCODERS)
def embeddings(request: pytest.FixtureRequest) -> tuple[str, dict[str, np.ndarray]]:
    """A built-in encoder's name, and engine -> its embeddings of a few photos."""
    bundle = open_bundle(request.param)
    embedders = {engine: Embedder(bundle, engine) for engine in INSTALLED_ENGINES}
    found = {name: np.stack([e.embed_image(photo) for photo in PHOTOS]) for name, e in embedders.items()}
    return request.param, found


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("engine", INSTALLED_ENGINES)
def test_every_engine_reproduces_the_golden_embeddings(name: str, engine: str) -> None:
    assert Embedder(open_bundle(name), engine).self_test() > AGREEMENT[name]


def test_the_engines_for_tflite_agree(embeddings: tuple[str, dict[str, np.ndarray]]) -> None:
    # XNNPACK, in LiteRT, rounds otherwise than its predecessor's kernels: a step of int8 now and then.
    name, found = embeddings
    for engine in INSTALLED_ENGINES[1:]:
        assert paired_cosine(found["litert"], found[engine]).min() > AGREEMENT[name]


def test_onnx_and_tflite_are_the_same_encoder(embeddings: tuple[str, dict[str, np.ndarray]]) -> None:
    _, found = embeddings
    # Two quantisations of the same weights; an index made by one is searched with the other.
    assert paired_cosine(found["onnxruntime"], found["litert"]).min() > 0.98
    similarity = found["onnxruntime"] @ found["litert"].T
    assert np.array_equal(similarity.argmax(axis=1), np.arange(len(PHOTOS)))
