"""The training loop of metric learning: batches of views in, an encoder that tells images apart out.

A run is a folder: `config.toml` (resolved settings), `checkpoint.pt` (to resume from), `encoder.pt` (the
averaged weights, what export takes), `log.jsonl` (one line an epoch) and `metrics.json` (measured last).
Every step's chance depends on the seed and the step's number alone: on a CPU with a given number of threads a
resumed run ends with the same weights, bit for bit, as one that was never interrupted. For a run in several
processes see edgesim.training.distributed.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from edgesim.errors import UsageError
from edgesim.files import write_atomic
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder
from edgesim.training import distributed
from edgesim.training.allocator import keep_freed_memory
from edgesim.training.checkpoint import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    ENCODER_FILE,
    FORMAT_VERSION,
    load_torch,
    save_encoder,
    save_torch,
)
from edgesim.training.config import TrainingConfig
from edgesim.training.contrastive import follow
from edgesim.training.datasets import ImageSet
from edgesim.training.device import autocast, pick_device
from edgesim.training.distillation import distillation_loss, load_teacher
from edgesim.training.evaluate import evaluate
from edgesim.training.key_pictures import Pictures
from edgesim.training.losses import MultiSimilarityLoss, NormalisedSoftmaxLoss
from edgesim.training.optimizer import build_optimizer, learning_rate
from edgesim.training.qk_iteration import QKIteration
from edgesim.training.samplers import class_balanced_batches, view_batches
from edgesim.training.views import Views
from edgesim.training.whitening import principal_embedding


class Trainer:
    """One run: the encoder, its average, the loss, the optimiser and where they stand.

    Args:
        config: the settings.
        images: what to train on, at `source_size`.
        device: `cpu`, `cuda`, or `auto` for a GPU if there is one.
    """

    def __init__(self, config: TrainingConfig, images: ImageSet, device: str) -> None:
        torch.manual_seed(config.seed)
        self.config, self.images, self.device = config, images, pick_device(device)
        self.spec = ModelSpec(
            name=config.name,
            input_size=config.encoder.input_size,
            embedding_dim=config.encoder.embedding_dim,
        )
        # Convolutions on a CPU are faster with the channels of a pixel side by side.
        self.encoder = Encoder(config.encoder).to(self.device)
        self.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.encoder.pretrained:
            principal_embedding(self.encoder, self.spec, images.pixels, self.device, config.precision)
        self.forward = torch.compile(self.encoder) if config.compile else self.encoder
        self.average = copy.deepcopy(self.encoder).requires_grad_(False)
        self.loss = _build_loss(config, images).to(self.device)
        self.teacher = None
        if config.teacher and config.loss == "ce":
            self.teacher = load_teacher(config, images.classes).to(self.device)
        self.qk = self._qk_iteration() if config.loss == "qk" else None
        self.optimizer = build_optimizer(config, [*self.encoder.parameters(), *self.loss.parameters()])
        pictures: Pictures = images.pixels
        if self.qk is not None and config.qk.views_of_crops:
            pictures = self.qk.pictures
        self.views = Views(config, self.spec, pictures, self.device)
        self.labels = torch.from_numpy(images.labels).to(self.device)
        self.epoch = 0
        self.step = 0
        sizes = [len(rows) for rows in self._batches(0)]
        self.steps_per_epoch = len(sizes)
        distributed.check_batch(sizes[0])

    def _qk_iteration(self) -> QKIteration:
        config = self.config
        if distributed.processes() > 1:
            raise UsageError("loss = qk runs in one process; start it without torchrun")
        return QKIteration(
            config.qk,
            self.encoder,
            self.spec,
            self.images.pixels,
            self.device,
            precision=config.precision,
            seed=config.seed,
            teacher=config.teacher,
        )

    def _batches(self, epoch: int) -> Iterator[NDArray[np.intp]]:
        config = self.config
        if config.positives == "class":
            return class_balanced_batches(
                self.images.labels, config.batch_size, config.views, config.seed, epoch
            )
        return view_batches(len(self.views.pictures), config.batch_size, config.views, config.seed, epoch)

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step; see edgesim.training.optimizer."""
        return learning_rate(self.config, step, self.steps_per_epoch)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take an encoder's weights as the start, before the first step; the average starts there too."""
        self.encoder.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def train_epoch(self, bar: tqdm[Any]) -> dict[str, float]:
        """Train for one epoch; returns its number, mean loss, last learning rate and images per second."""
        self.encoder.train()
        start, seen, losses = time.perf_counter(), 0, []
        if self.qk is not None:
            self.qk.prepare(self.average, self.views, self.epoch)
        for rows, views in self.views.batches(self._batches(self.epoch), self.step):
            losses.append(self._train_step(rows, views))
            seen += len(rows)
            bar.update()
        self.epoch += 1
        return {
            "epoch": self.epoch,
            "loss": float(torch.stack(losses).mean()),
            "learning_rate": self.learning_rate(self.step - 1),
            "images_per_second": round(seen / (time.perf_counter() - start), 1),
        }

    def _train_step(self, rows: Tensor, views: Tensor) -> Tensor:
        rate = self.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # The loss, whose exponents span e^25, stays in float32.
        with autocast(self.config.precision, self.device):
            embeddings = self.forward(views)
        embeddings = nn.functional.normalize(embeddings.float(), dim=1)
        if self.qk is not None:
            loss = self.qk.loss(embeddings, rows)
        else:
            loss = self._loss(distributed.gather(embeddings), distributed.gather(self.labels[rows]), views)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.add_gradients(self.encoder, self.loss)
        self.optimizer.step()
        self._update_average()
        self.step += 1
        return loss.detach()

    def _loss(self, embeddings: Tensor, labels: Tensor, views: Tensor) -> Tensor:
        if self.teacher is None:
            loss: Tensor = self.loss(embeddings, labels)
            return loss
        assert isinstance(self.loss, NormalisedSoftmaxLoss)  # TrainingConfig refuses a teacher of another
        return distillation_loss(
            self.loss,
            embeddings,
            labels,
            distributed.gather(self.teacher(views)),
            share=self.config.distillation_share,
            tau=self.config.distillation_temperature,
        )

    def _update_average(self) -> None:
        # Short runs would keep the random start in the average: the decay grows into its value.
        follow(self.average, self.encoder, min(self.config.ema_decay, (1 + self.step) / (10 + self.step)))

    def save(self, run: Path) -> None:
        """Write the checkpoint to resume from, and the encoder as it stands."""
        save_encoder(run / ENCODER_FILE, self.average, self.spec)
        state = {
            "format_version": FORMAT_VERSION,
            "config": self.config.to_toml(),
            "images": len(self.images),
            "classes": list(self.images.classes),
            "epoch": self.epoch,
            "step": self.step,
            "encoder": self.encoder.state_dict(),
            "average": self.average.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        save_torch(run / CHECKPOINT_FILE, state)

    def resume(self, run: Path) -> None:
        """Take up a run where its checkpoint stands. Raises `UsageError` if it had other settings."""
        state = load_torch(run / CHECKPOINT_FILE)
        if state["config"] != self.config.to_toml():
            raise UsageError(
                f"{run}: {_first_difference(state['config'], self.config.to_toml())}; "
                "repeat the settings to resume, or choose another --out"
            )
        if state["images"] != len(self.images):
            raise UsageError(
                f"{run}: was trained on {state['images']} images, {len(self.images)} are there now; "
                "choose another --out"
            )
        self.epoch, self.step = state["epoch"], state["step"]
        self.encoder.load_state_dict(state["encoder"])
        self.average.load_state_dict(state["average"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])


def _build_loss(config: TrainingConfig, images: ImageSet) -> nn.Module:
    if config.loss == "ms":
        return MultiSimilarityLoss()
    if config.loss == "qk":
        return nn.Identity()  # it has no weights of its own; see QKIteration
    return NormalisedSoftmaxLoss(
        len(images.classes), config.encoder.embedding_dim, config.temperature, config.label_smoothing
    )


def _first_difference(old: str, new: str) -> str:
    for before, after in zip(old.splitlines(), new.splitlines(), strict=False):
        if before != after:
            return f"was trained with {before}, not {after.partition(' = ')[2]}"
    return "was trained with other settings"


def train(
    config: TrainingConfig,
    images: ImageSet,
    held_out: ImageSet | None,
    run: Path,
    device: str,
    *,
    start: Mapping[str, Tensor] | None = None,
    after_epoch: Callable[[Trainer], bool] | None = None,
) -> dict[str, float]:
    """Train, or resume, a run to its end and return what was measured on the held-out images.

    Args:
        config: the settings; a run folder that has a checkpoint must have been started with the same.
        images: what to train on.
        held_out: what to measure on; None measures nothing.
        run: the run folder, made if absent.
        device: `cpu`, `cuda`, or `auto` for a GPU if there is one.
        start: encoder weights to start from; a run that is resumed goes on from its own.
        after_epoch: called where the run starts or is resumed, and after each epoch's checkpoint, with
            `Trainer.epoch` epochs done; when it returns True the run ends there.

    Of several processes only the first measures; the others return nothing.

    Raises:
        UsageError: the folder holds a run with other settings, or `after_epoch` with several processes.
        StorageError: the disk is full or read-only.
    """
    if after_epoch is not None and distributed.processes() > 1:
        raise UsageError("fine-tuning runs in one process; start it without torchrun")
    keep_freed_memory()
    distributed.connect(device)
    trainer = Trainer(config, images, device)
    _begin(trainer, run, start)
    _train_epochs(trainer, run, after_epoch or (lambda _: False))
    metrics: dict[str, float] = {}
    if distributed.is_first():
        if held_out is not None and len(held_out) > 1:
            metrics = evaluate(trainer.average, trainer.spec, held_out, config.positives, config.seed)
        write_atomic(run / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    return metrics


def _begin(trainer: Trainer, run: Path, start: Mapping[str, Tensor] | None) -> None:
    """Resume the run that the folder holds, or make it the folder of a new one."""
    if (run / CHECKPOINT_FILE).exists():
        trainer.resume(run)
        return
    if distributed.is_first():
        run.mkdir(parents=True, exist_ok=True)
        write_atomic(run / CONFIG_FILE, trainer.config.to_toml().encode())
    if start is not None:
        trainer.start_from(start)


def _train_epochs(trainer: Trainer, run: Path, after_epoch: Callable[[Trainer], bool]) -> None:
    epochs, steps = trainer.config.epochs, trainer.config.epochs * trainer.steps_per_epoch
    hidden = None if distributed.is_first() else True  # None: shown on a terminal
    if epochs == 0 and distributed.is_first():
        trainer.save(run)  # an encoder as it starts, to measure against or to teach
    bar: tqdm[Any]
    with tqdm(total=steps, initial=trainer.step, desc="training", unit="step", disable=hidden) as bar:
        ended = after_epoch(trainer)
        while trainer.epoch < epochs and not ended:
            record = trainer.train_epoch(bar)
            bar.set_postfix(loss=f"{record['loss']:.3f}")
            if distributed.is_first():
                trainer.save(run)
                with (run / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(record) + "\n")
            ended = after_epoch(trainer)
