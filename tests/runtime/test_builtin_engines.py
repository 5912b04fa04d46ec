"""The built-in bundles in every engine: real int8 models, ONNX and TFLite."""

import numpy as np
import pytest

from edgesim.builtin import ENCODERS
from edgesim.metrics import paired_cosine
from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.sample_photos import sample_photos
from tests.helpers import INSTALLED_ENGINES

PHOTOS = sample_photos("these tests")[:6]


@pytest.fixture(scope="module", params=ENCODERS)
def embeddings(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """Engine -> embeddings of a few photos, by each built-in encoder."""
    bundle = open_bundle(request.param)
    embedders = {engine: Embedder(bundle, engine) for engine in INSTALLED_ENGINES}
    return {name: np.stack([e.embed_image(photo) for photo in PHOTOS]) for name, e in embedders.items()}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("engine", INSTALLED_ENGINES)
def test_every_engine_reproduces_the_golden_embeddings(name: str, engine: str) -> None:
    assert Embedder(open_bundle(name), engine).self_test() > 0.995


def test_the_engines_for_tflite_agree(embeddings: dict[str, np.ndarray]) -> None:
    # XNNPACK, in LiteRT, rounds otherwise than its predecessor's kernels: a step of int8 now and then.
    for engine in INSTALLED_ENGINES[1:]:
        assert paired_cosine(embeddings["litert"], embeddings[engine]).min() > 0.995


def test_onnx_and_tflite_are_the_same_encoder(embeddings: dict[str, np.ndarray]) -> None:
    # Two quantisations of the same weights; an index made by one is searched with the other.
    assert paired_cosine(embeddings["onnxruntime"], embeddings["litert"]).min() > 0.98
    similarity = embeddings["onnxruntime"] @ embeddings["litert"].T
    assert np.array_equal(similarity.argmax(axis=1), np.arange(len(PHOTOS)))
