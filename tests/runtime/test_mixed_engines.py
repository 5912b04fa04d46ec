"""An index filled with one model file of a bundle is searched with the other: they are one encoder."""

from pathlib import Path

import numpy as np
import pytest

from edgesim.builtin import ENCODERS, bundle_folder
from edgesim.bundle import Bundle
from edgesim.runtime.matcher import Matcher

# What the two model files' embeddings of a golden image agree to at least: docs/index-reliability.md.
COSINE = {"copy": 0.997, "similar": 0.981}


@pytest.mark.parametrize("name", ENCODERS)
def test_onnx_fills_and_tflite_searches(tmp_path: Path, name: str) -> None:
    images, golden = Bundle.load(bundle_folder(name)).golden("onnx")
    photos = [tmp_path / f"{number}.png" for number in range(len(images))]
    for photo, image in zip(photos, images, strict=True):
        photo.write_bytes(image)
    with Matcher(tmp_path / "index", name, "onnxruntime", create=True) as matcher:
        matcher.add(photos)
    other = Bundle.load(bundle_folder(name)).golden("tflite")[1]
    assert not np.array_equal(golden, other)
    with Matcher(tmp_path / "index", engine="litert", read_only=True) as matcher:
        for photo in photos:
            best = matcher.query(photo, k=1)[0]
            assert best.path == str(photo)
            assert COSINE[name] < best.similarity < 1
