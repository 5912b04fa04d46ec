"""Fine-tuning: from an encoder that exists to one that tells a user's own classes apart.

The images come in three parts (edgesim.training.datasets.split_by_class). After every epoch the averaged
weights are measured on the validation part; the best of them, which may be those of the start, are what the
run ends with, and the test part is looked at only then. All of this is our choice.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

from torch import Tensor

from edgesim.errors import UsageError
from edgesim.files import write_atomic
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder
from edgesim.training.checkpoint import ENCODER_FILE, FORMAT_VERSION, load_torch, save_encoder, save_torch
from edgesim.training.config import TrainingConfig
from edgesim.training.datasets import ImageSet, Split
from edgesim.training.evaluate import evaluate
from edgesim.training.metric_learning import Trainer, train

BEST_FILE = "best.pt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuning:
    """What a fine-tuning did. Precision@1 is that of the test part, leave-one-out.

    Attributes:
        before: precision@1 of the start.
        after: precision@1 of the encoder that the run ends with.
        epochs: epochs trained.
        best_epoch: the epoch of that encoder; 0 is the start.
        images: number of images in each part: `training`, `validation`, `test`.
        unmeasured: classes that were too small to be in the validation and test parts.
    """

    before: float
    after: float
    epochs: int
    best_epoch: int
    images: dict[str, int]
    unmeasured: tuple[str, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of the run's metrics.json."""
        return {
            "precision_at_1": self.after,
            "precision_at_1_before": self.before,
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            **{f"{part}_images": count for part, count in self.images.items()},
        }


class EarlyStop:
    """Measures every epoch, keeps the best weights, and says when to stop; `train`'s `after_epoch`.

    What it knows is in the run folder's best.pt, so that a run that is resumed goes on as if it had never
    been interrupted.

    Args:
        run: the run folder.
        validation: what is measured.
        patience: how many epochs without a better precision@1 end the run; 0: none do.
    """

    def __init__(self, run: Path, validation: ImageSet, patience: int) -> None:
        self.path, self.validation, self.patience = run / BEST_FILE, validation, patience
        self.precision: dict[int, float] = {}
        self.weights: dict[str, Tensor] = {}
        if self.path.exists():
            state = load_torch(self.path)
            self.precision, self.weights = state["precision_at_1"], state["weights"]

    @property
    def best_epoch(self) -> int:
        """The first epoch that no other is better than."""
        return max(self.precision, key=lambda epoch: self.precision[epoch])

    def __call__(self, trainer: Trainer) -> bool:
        """Measure an epoch, unless that was done before an interruption; returns whether to stop."""
        if trainer.epoch == 0:
            self.precision = {}  # the file may be of a run that ended before its first checkpoint
        if trainer.epoch not in self.precision:
            self._measure(trainer)
        return 0 < self.patience <= trainer.epoch - self.best_epoch

    def _measure(self, trainer: Trainer) -> None:
        self.precision[trainer.epoch] = _precision_at_1(trainer.average, trainer.spec, self.validation)
        if self.best_epoch == trainer.epoch:
            weights = trainer.average.state_dict()
            self.weights = {name: value.cpu().clone() for name, value in weights.items()}
        save_torch(
            self.path,
            {"format_version": FORMAT_VERSION, "precision_at_1": self.precision, "weights": self.weights},
        )


def check_start(config: TrainingConfig, start: Encoder) -> None:
    """Raise `UsageError` where the settings do not go with fine-tuning this encoder."""
    if config.positives != "class":
        raise UsageError(
            f"fine-tuning learns classes: expected positives = class, got {config.positives}; leave it out"
        )
    if config.encoder != start.config:
        raise UsageError(
            f"{config.start} has another architecture than the settings; leave out the table [encoder]"
        )
    for name in ("holdout", "validation"):
        if not 0 < getattr(config, name) < 1:
            raise UsageError(
                f"fine-tuning needs {name}, a share of the images between 0 and 1, "
                f"got {getattr(config, name)}; leave --config out, or add: {name} = 0.2"
            )


def fine_tune(
    config: TrainingConfig, split: Split, start: tuple[Encoder, ModelSpec], run: Path, device: str
) -> FineTuning:
    """Fine-tune, or resume, a run to its end; the run folder then holds the best encoder.

    Args:
        config: the settings; `check_start` must have passed.
        split: the images.
        start: the encoder to start from, and its spec.
        run: the run folder, made if absent.
        device: `cpu`, `cuda`, or `auto` for a GPU if there is one.

    Raises:
        UsageError: the folder holds a run with other settings.
        StorageError: the disk is full or read-only.
    """
    encoder, spec = copy.deepcopy(start[0]), dataclasses.replace(start[1], name=config.name)
    before = _precision_at_1(encoder, spec, split.test)
    stop = EarlyStop(run, split.validation, config.patience)
    train(config, split.training, None, run, device, start=encoder.state_dict(), after_epoch=stop)
    encoder.load_state_dict(stop.weights)
    save_encoder(run / ENCODER_FILE, encoder, spec)
    parts = {"training": split.training, "validation": split.validation, "test": split.test}
    result = FineTuning(
        before=before,
        after=_precision_at_1(encoder, spec, split.test),
        epochs=max(stop.precision),
        best_epoch=stop.best_epoch,
        images={name: len(part) for name, part in parts.items()},
        unmeasured=split.unmeasured,
    )
    write_atomic(run / "metrics.json", (json.dumps(result.metrics, indent=2) + "\n").encode())
    return result


def _precision_at_1(encoder: Encoder, spec: ModelSpec, images: ImageSet) -> float:
    return evaluate(encoder, spec, images, "class", seed=0)["precision_at_1"]
