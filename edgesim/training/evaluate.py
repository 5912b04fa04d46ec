"""How good a float encoder is on images that it was not trained on; the metrics are edgesim.metrics."""

from __future__ import annotations

import numpy as np
from PIL import Image

from edgesim.edits import EDITS, edited_copy
from edgesim.metrics import precision_at_1, recall_at_k
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, embed_pixels
from edgesim.preprocess import resize_image
from edgesim.training.datasets import ImageSet


def evaluate(
    encoder: Encoder, spec: ModelSpec, images: ImageSet, positives: str, seed: int
) -> dict[str, float]:
    """Return `precision_at_1` (leave-one-out) for classes, or `recall_at_1` of edited copies for views.

    For views each held-out image gets one edited copy, the edits in turn; the references are the images.
    """
    encoder.eval()
    references = embed_pixels(encoder, spec, images.pixels)
    if positives == "class":
        return {"precision_at_1": precision_at_1(references, images.labels)}
    pictures = [Image.fromarray(pixels) for pixels in images.pixels]
    names = list(EDITS)
    copies = [
        edited_copy(picture, names[i % len(names)], seed + i, pictures[(i + 1) % len(pictures)])
        for i, picture in enumerate(pictures)
    ]
    queries = np.stack([resize_image(copy, spec.input_size) for copy in copies])
    truth = np.arange(len(pictures))
    return {"recall_at_1": recall_at_k(embed_pixels(encoder, spec, queries), references, truth)}
