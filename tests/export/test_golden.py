"""The golden images: always the same, each another, and with something in them."""

import io

import numpy as np
from PIL import Image

from edgesim_export.golden import golden_images


def test_golden_images():
    images = golden_images()
    assert images == golden_images()
    assert len(set(images)) == 4
    assert sum(map(len, images)) < 50_000
    for content in images:
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("PNG", (160, 120), "RGB")
            assert np.asarray(picture).std(axis=(0, 1)).min() > 10
