"""Settings of a training run: TOML file -> frozen dataclasses; an unknown key is an error, no default."""

from __future__ import annotations

import dataclasses
from importlib import resources
from pathlib import Path
from typing import Any

from edgesim.errors import UsageError
from edgesim.models.encoder import EncoderConfig
from edgesim.settings import build, check_known, read_toml

LOSSES = ("ms", "ce")
POSITIVES = ("class", "views")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How strongly each view of an image is changed; see edgesim.training.augment. All of it is our choice.

    Attributes:
        crop_area_min: smallest share of the picture's area that a crop keeps; 1 never crops.
        rotation_degrees: largest rotation either way.
        rotation_share: share of views that are rotated.
        flip_share: share mirrored left to right.
        paste_share: share pasted onto another image of the batch.
        overlay_share: share with boxes, stripes or another image laid over them.
        colour: strength of brightness, contrast and saturation changes, 0..1.
        grey_share: share turned to grey.
        blur_share: share blurred or pixelised.
        jpeg_share: share compressed as JPEG of quality 10 to 60.
        noise_share: share with Gaussian noise.
        shift_pixels: largest translation in pixels, for small upright images.
    """

    crop_area_min: float = 0.3
    rotation_degrees: float = 30.0
    rotation_share: float = 0.5
    flip_share: float = 0.3
    paste_share: float = 0.2
    overlay_share: float = 0.4
    colour: float = 0.5
    grey_share: float = 0.1
    blur_share: float = 0.25
    jpeg_share: float = 0.3
    noise_share: float = 0.15
    shift_pixels: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run, completely.

    Attributes:
        name: the encoder's name.
        data: folder of images or of class folders, or `mnist`, `fashion_mnist`, `cifar10`.
        data_root: where those three data sets lie.
        exclude: text file with one image path per line, relative to `data`, that training must not see.
        loss: `ms` (Multi-Similarity) or `ce` (cross-entropy with a classification head).
        positives: `class`, images of one class, or `views`, augmented views of one image.
        seed: the run's only source of chance.
        epochs: passes over the images.
        batch_size: views in a batch.
        views: views of each image in a batch (`positives = "views"`), or images of each class.
        learning_rate: peak of the cosine schedule of AdamW.
        weight_decay: of AdamW; not applied to biases and norms.
        warmup_epochs: linear increase before the cosine.
        ema_decay: of the exponential moving average of the weights, which is what is kept.
        temperature: of the normalised softmax (`loss = "ce"`).
        holdout: share of a folder's images kept for the measurement at the end.
        source_size: images are held in memory at this size, so that crops keep detail; 0: the input size.
        encoder: the architecture.
        augment: the augmentation.
    """

    name: str = "encoder"
    data: str = ""
    data_root: str = ""
    exclude: str = ""
    loss: str = "ms"
    positives: str = "class"
    seed: int = 0
    epochs: int = 30
    batch_size: int = 256
    views: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 2.0
    ema_decay: float = 0.999
    temperature: float = 0.05
    holdout: float = 0.1
    source_size: int = 0
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        check_known([self.loss], LOSSES, "loss")
        check_known([self.positives], POSITIVES, "positives")
        if self.batch_size % self.views or self.views < 2:
            raise UsageError(
                f"views must be at least 2 and divide batch_size={self.batch_size}, got {self.views}"
            )

    def to_toml(self) -> str:
        """Return the resolved settings as TOML; `load_config` reads it back unchanged."""
        tables = {"encoder": self.encoder, "augment": self.augment}
        lines = [f"{f.name} = {_toml(getattr(self, f.name))}" for f in _fields(self) if f.name not in tables]
        for table, values in tables.items():
            lines += ["", f"[{table}]"]
            lines += [f"{f.name} = {_toml(getattr(values, f.name))}" for f in _fields(values)]
        return "\n".join(lines) + "\n"


def _fields(instance: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(instance)


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def preset_path(data: str) -> Path:
    """Return the preset for a data set's name, or the one for photographs, as a file."""
    folder = resources.files("edgesim.training") / "configs"
    preset = folder / f"{data}.toml"
    return Path(str(preset if preset.is_file() else folder / "photos.toml"))


def load_config(path: Path, **overrides: Any) -> TrainingConfig:
    """Read a TOML file into a `TrainingConfig`; keyword arguments that are not None replace its values.

    Raises:
        UsageError: no such file, not TOML, an unknown key (with the nearest known one), or a wrong type.
    """
    values = read_toml(path)
    values |= {key: value for key, value in overrides.items() if value is not None}
    return build(TrainingConfig, values, str(path))
