"""A small encoder with random weights, pictures, and recipes with few images, for the tests of the export."""

import functools
from pathlib import Path

import numpy as np
import torch

from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig
from edgesim.models.stages import Stage
from edgesim.preprocess import normalise
from edgesim.training.checkpoint import save_encoder
from edgesim_export import recipe
from tests.helpers import photo

SPEC = ModelSpec(name="small", input_size=32, embedding_dim=16)
CONFIG = EncoderConfig(
    input_size=32,
    stages=(
        Stage(kind="involution"),
        Stage(kind="conv", width=8),
        Stage(kind="residual", width=8, stride=2),
        Stage(kind="conv", width=16, stride=2),
        Stage(kind="conv", width=16, stride=2),
    ),
    embedding_dim=16,
)
IMAGES = 24


def images(count: int = IMAGES, start: int = 0) -> np.ndarray:
    """Return normalised pictures (N, S, S, 3)."""
    return normalise(np.stack([photo(seed) for seed in range(start, start + count)]), SPEC)


def channels_first(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


@functools.cache
def small_encoder(config: EncoderConfig = CONFIG) -> Encoder:
    """Return an encoder in evaluation mode whose BatchNorm has seen pictures; always the same one."""
    torch.manual_seed(0)
    encoder = Encoder(config).train()
    with torch.no_grad():
        for start in range(100, 400, 30):
            encoder(channels_first(images(30, start)))
    return encoder.eval()


def write_checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_encoder(folder / "encoder.pt", small_encoder(), SPEC)
    return folder


def write_recipe(folder: Path, model_format: str, **changes: str) -> str:
    """Write a format's default recipe with other values; returns its path as an option takes it."""
    name = f"{model_format}_static_w8a8_pc"
    text = (Path(recipe.__file__).parent / "recipes" / f"{name}.toml").read_text()
    lines = []
    for line in text.splitlines():
        key = line.partition(" = ")[0]
        lines.append(f"{key} = {changes.pop(key)}" if key in changes else line)
    assert not changes
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    return str(path)
