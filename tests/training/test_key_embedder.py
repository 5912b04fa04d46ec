"""The embedder of keys: the run's float encoder, fed by the one preprocessing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from edgesim.errors import BundleError, ImageError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig
from edgesim.models.stages import Stage
from edgesim.training.checkpoint import save_encoder, weights_sha256
from edgesim.training.key_embedder import KeyEmbedder
from tests.helpers import photo, png

SPEC = ModelSpec(name="large", input_size=16, embedding_dim=8)
CONFIG = EncoderConfig(input_size=16, stages=(Stage(kind="conv", width=8, stride=2),), embedding_dim=8)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_encoder(tmp_path / "encoder.pt", Encoder(CONFIG), SPEC)
    return tmp_path


def embed(embedder: KeyEmbedder, pixels: np.ndarray) -> np.ndarray:
    return embedder.embed_pixels(embedder.load(png(pixels))[None])[0]


def test_an_image_becomes_the_encoders_embedding(run: Path) -> None:
    embedder = KeyEmbedder(run)
    torch.manual_seed(0)
    encoder = Encoder(CONFIG).eval()
    pixels = photo(3, 16, 16)
    scaled = (pixels / 255.0 - np.array(SPEC.mean)) / np.array(SPEC.std)
    with torch.no_grad():
        raw = encoder(torch.from_numpy(scaled.transpose(2, 0, 1)[None]).float())[0].numpy()
    found = embed(embedder, pixels)
    np.testing.assert_allclose(found, raw / np.linalg.norm(raw), atol=1e-5)
    assert (found.dtype, found.shape) == (np.float32, (8,))
    assert embedder.encoder_id == SPEC.encoder_id(weights_sha256(encoder))


def test_a_picture_is_brought_to_the_encoders_own_size(run: Path) -> None:
    # Every pixel twice as wide and high, then halved: the same picture, but for its filtered edges.
    embedder = KeyEmbedder(run / "encoder.pt")
    large = embed(embedder, np.kron(photo(3, 16, 16), np.ones((2, 2, 1), np.uint8)))
    assert large @ embed(embedder, photo(3, 16, 16)) > 0.99


def test_messages_call_the_image_by_its_name(run: Path) -> None:
    with pytest.raises(ImageError, match=r"^/a\.png: not an image in a known format"):
        KeyEmbedder(run).load(b"no image", name="/a.png")


def test_another_preprocessing(tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, preprocess_version=99)
    save_encoder(tmp_path / "encoder.pt", Encoder(CONFIG), spec)
    with pytest.raises(BundleError) as caught:
        KeyEmbedder(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: trained with preprocessing version 99, this edgesim has version 1; "
        "install the matching edgesim or train it again"
    )


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"/encoder\.pt: no such checkpoint; make one with: edgesim train$"):
        KeyEmbedder(tmp_path)
