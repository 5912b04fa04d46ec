"""Settings of a training run: TOML file -> frozen dataclasses; an unknown key is an error, no default."""

from __future__ import annotations

import dataclasses
from importlib import resources
from pathlib import Path
from typing import Any

from edgesim.errors import UsageError
from edgesim.models.encoder import EncoderConfig
from edgesim.models.zoo import DEFAULT_MODEL, encoder_values, load_model
from edgesim.settings import build, check_known, read_toml
from edgesim.training.copy_augment import CopyAugmentConfig
from edgesim.training.qk_iteration import QKConfig

LOSSES = ("ms", "ce", "qk")
AUGMENTATIONS = ("tensors", "copies")
POSITIVES = ("class", "views")
OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("auto", "float32", "bfloat16")


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
        shift_pixels: largest translation in pixels, for small upright images; by whole pixels where a view
            is neither cropped nor rotated nor pasted, since a fractional one blurs.
        cutout_pixels: side of a square of mid grey laid over each view at a random place, where it may reach
            over the edge (DeVries & Taylor 2017, arXiv 1708.04552); 0: none.
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
    cutout_pixels: int = 0

    def __post_init__(self) -> None:
        for name in ("shift_pixels", "cutout_pixels"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run, completely.

    Attributes:
        name: the encoder's name.
        data: folder of images or of class folders, or `mnist`, `fashion_mnist`, `cifar10`.
        data_root: where those three data sets lie.
        exclude: text file with one image path per line, relative to `data`, that training must not see.
        loss: `ms` (Multi-Similarity), `ce` (cross-entropy with a classification head), or `qk` (QK Iteration,
            edgesim.training.qk_iteration; each image is a class of its own).
        positives: `class`, images of one class, or `views`, augmented views of one image.
        seed: the run's only source of chance.
        epochs: passes over the images.
        batch_size: views in a batch.
        views: views of each image in a batch (`positives = "views"`), or images of each class.
        optimizer: `adamw`, or `sgd` with Nesterov momentum.
        precision: of the encoder's forward and backward pass: `float32`, `bfloat16` (mixed: weights, loss and
            optimiser stay float32), or `auto`: `bfloat16` on a GPU, `float32` on a CPU.
        compile: let torch compile the encoder; a minute at the start, then faster where there are many small
            layers. Needs a C++ compiler.
        learning_rate: peak of the cosine schedule.
        weight_decay: of the optimiser; not applied to biases and norms.
        warmup_epochs: linear increase before the cosine.
        ema_decay: of the exponential moving average of the weights, which is what is kept.
        temperature: t, divides the cosines of the normalised softmax (`loss = "ce"`).
        label_smoothing: share of each target spread evenly over all classes (`loss = "ce"`).
        teacher: run folder of an encoder to learn from, by its answers (`loss = "ce"`,
            edgesim.training.distillation) or by its keys (`loss = "qk"`).
        distillation_share: a, weight of the teacher's answers against the labels', 0..1.
        distillation_temperature: tau, divides both encoders' cosines where they are compared.
        start: `copy`, `similar`, or the run whose encoder the training starts from: fine-tuning to classes
            (edgesim.training.fine_tuning), or with `positives = "views"` going on with its weights.
        validation: share of the images not held out that decides when fine-tuning ends.
        patience: epochs without a better validation after which fine-tuning ends; 0: none.
        holdout: share of a folder's images kept for the measurement at the end.
        source_size: images are held in memory at this size, so that crops keep detail; 0: the input size.
        augmentation: `tensors`: by `augment`, a whole batch at a time; `copies`: by `copies`.
        encoder: the architecture.
        augment: how views are made (edgesim.training.augment).
        copies: how edited copies are made (edgesim.training.copy_augment).
        qk: how keys are made and compared (`loss = "qk"`).
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
    optimizer: str = "adamw"
    precision: str = "auto"
    compile: bool = False
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 2.0
    ema_decay: float = 0.999
    temperature: float = 0.05
    label_smoothing: float = 0.0
    teacher: str = ""
    distillation_share: float = 0.9
    distillation_temperature: float = 0.2
    start: str = ""
    validation: float = 0.0
    patience: int = 0
    holdout: float = 0.1
    source_size: int = 0
    augmentation: str = "tensors"
    encoder: EncoderConfig = dataclasses.field(default_factory=lambda: load_model(DEFAULT_MODEL))
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    copies: CopyAugmentConfig = dataclasses.field(default_factory=CopyAugmentConfig)
    qk: QKConfig = dataclasses.field(default_factory=QKConfig)

    def __post_init__(self) -> None:
        check_known([self.loss], LOSSES, "loss")
        check_known([self.positives], POSITIVES, "positives")
        check_known([self.optimizer], OPTIMIZERS, "optimizer")
        check_known([self.precision], PRECISIONS, "precision")
        check_known([self.augmentation], AUGMENTATIONS, "augmentation")
        # Other losses compare the views of a batch with each other; a Q-step meets the keys.
        least = 1 if self.loss == "qk" else 2
        if self.views < least or self.batch_size % self.views:
            raise UsageError(
                f"views must be at least {least} and divide batch_size={self.batch_size}, got {self.views}"
            )
        for name in ("temperature", "distillation_temperature"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("label_smoothing", "distillation_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if self.teacher and self.loss == "ms":
            raise UsageError("a teacher needs loss = ce or qk, got ms; set loss, or leave teacher out")
        if self.loss == "qk" and self.positives != "views":
            raise UsageError(
                f"loss = qk needs positives = views, got {self.positives}; set positives = views"
            )

    def to_toml(self) -> str:
        """Return the resolved settings as TOML; `load_config` reads it back unchanged."""
        tables = {"encoder": self.encoder, "augment": self.augment, "copies": self.copies, "qk": self.qk}
        lines = [f"{f.name} = {_toml(getattr(self, f.name))}" for f in _fields(self) if f.name not in tables]
        for table, values in tables.items():
            lines += ["", f"[{table}]"]
            lines += [f"{f.name} = {_toml(getattr(values, f.name))}" for f in _fields(values)]
        return "\n".join(lines) + "\n"


def _fields(instance: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(instance)


def _toml(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        changed = [f.name for f in _fields(value) if getattr(value, f.name) != f.default]
        return "{ " + ", ".join(f"{name} = {_toml(getattr(value, name))}" for name in changed) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def preset_path(data: str) -> Path:
    """Return the preset for a data set's name, or the one for photographs, as a file."""
    folder = resources.files("edgesim.training") / "configs"
    preset = folder / f"{data}.toml"
    return Path(str(preset if preset.is_file() else folder / "photos.toml"))


def load_config(path: Path, **overrides: Any) -> TrainingConfig:
    """Read a TOML file into a `TrainingConfig`; keyword arguments that are not None replace its values.

    The table `[encoder]` may name a `model`; see edgesim.models.zoo.

    Raises:
        UsageError: no such file, not TOML, an unknown key or model (with the nearest known one), or a wrong
            type.
    """
    values = read_toml(path)
    values |= {key: value for key, value in overrides.items() if value is not None}
    table = values.get("encoder", {})
    if isinstance(table, dict):
        values["encoder"] = encoder_values(table, f"{path}: encoder")
    return build(TrainingConfig, values, str(path))
