"""How good a float encoder is on images that it was not trained on; the metrics are edgesim.metrics."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edgesim.edits import EDITS, edited_copy
from edgesim.metrics import precision_at_1, recall_at_k
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import CompactEncoder
from edgesim.preprocess import normalise, resize_image
from edgesim.training.datasets import ImageSet


@torch.no_grad()
def embed_pixels(
    encoder: CompactEncoder, spec: ModelSpec, pixels: NDArray[np.uint8], batch_size: int = 256
) -> NDArray[np.float32]:
    """Return the L2-normalised embeddings (N, D) of uint8 images (N, H, W, 3), resized where needed."""
    device = next(encoder.parameters()).device
    if pixels.shape[1] != spec.input_size:
        pixels = np.stack([resize_image(Image.fromarray(image), spec.input_size) for image in pixels])
    found = []
    for start in range(0, len(pixels), batch_size):
        batch = normalise(pixels[start : start + batch_size], spec)
        found.append(encoder.embed(torch.from_numpy(batch).permute(0, 3, 1, 2).to(device)).cpu().numpy())
    return np.asarray(np.concatenate(found), dtype=np.float32)


def evaluate(
    encoder: CompactEncoder, spec: ModelSpec, images: ImageSet, positives: str, seed: int
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
