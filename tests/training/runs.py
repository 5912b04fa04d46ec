"""What every kind of training run must do alike."""

from pathlib import Path

import pytest

from edgesim.training.checkpoint import load_encoder, weights_sha256
from edgesim.training.config import TrainingConfig
from edgesim.training.datasets import ImageSet
from edgesim.training.metric_learning import Trainer, train


def digest(run: Path) -> str:
    """Return the digest of a run's encoder."""
    return weights_sha256(load_encoder(run)[0])


def check_resumes(
    config: TrainingConfig, images: ImageSet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train `folder`/whole in one go and /parts with an interruption in the third of four epochs; compare."""
    train(config, images, None, folder / "whole", "cpu")
    whole_epoch, epochs = Trainer.train_epoch, []

    def interrupted(self, bar):
        epochs.append(self.epoch)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return whole_epoch(self, bar)

    monkeypatch.setattr(Trainer, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, images, None, folder / "parts", "cpu")
    unfinished = digest(folder / "parts")
    train(config, images, None, folder / "parts", "cpu")
    assert epochs == [0, 1, 2, 2, 3]
    assert digest(folder / "parts") == digest(folder / "whole") != unfinished
