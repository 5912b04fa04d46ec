"""The training loop of metric learning: batches of views in, an encoder that tells images apart out.

A run is a folder: `config.toml` (resolved settings), `checkpoint.pt` (to resume from), `encoder.pt` (the
averaged weights, what export takes), `log.jsonl` (one line an epoch) and `metrics.json` (measured last).
Every step's chance depends on the seed and the step's number alone: on a CPU with a given number of threads a
resumed run ends with the same weights, bit for bit, as one that was never interrupted.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
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
from edgesim.models.encoder import CompactEncoder
from edgesim.training.augment import Augment
from edgesim.training.checkpoint import ENCODER_FILE, FORMAT_VERSION, load_torch, save_encoder, save_torch
from edgesim.training.config import TrainingConfig
from edgesim.training.datasets import ImageSet
from edgesim.training.evaluate import evaluate
from edgesim.training.losses import MultiSimilarityLoss, NormalisedSoftmaxLoss
from edgesim.training.samplers import class_balanced_batches, view_batches

CONFIG_FILE, CHECKPOINT_FILE = "config.toml", "checkpoint.pt"


class Trainer:
    """One run: the encoder, its average, the loss, the optimiser and where they stand.

    Args:
        config: the settings.
        images: what to train on, at `source_size`.
        device: `cpu`, `cuda`, or `auto` for a GPU if there is one.
    """

    def __init__(self, config: TrainingConfig, images: ImageSet, device: str) -> None:
        torch.manual_seed(config.seed)
        self.config, self.images, self.device = config, images, _pick_device(device)
        self.spec = ModelSpec(
            name=config.name,
            input_size=config.encoder.input_size,
            embedding_dim=config.encoder.embedding_dim,
        )
        self.encoder = CompactEncoder(config.encoder).to(self.device)
        self.average = copy.deepcopy(self.encoder).requires_grad_(False)
        self.loss = _build_loss(config, images).to(self.device)
        self.optimizer = _build_optimizer(config, self.encoder, self.loss)
        self.pixels = torch.from_numpy(images.pixels).to(self.device)
        self.labels = torch.from_numpy(images.labels).to(self.device)
        self.epoch = 0
        self.step = 0
        self.steps_per_epoch = sum(1 for _ in self._batches(0))

    def _batches(self, epoch: int) -> Iterator[NDArray[np.intp]]:
        config = self.config
        if config.positives == "class":
            return class_balanced_batches(
                self.images.labels, config.batch_size, config.views, config.seed, epoch
            )
        return view_batches(len(self.images), config.batch_size, config.views, config.seed, epoch)

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step: linear warm-up, then half a cosine down to zero."""
        warmup = self.config.warmup_epochs * self.steps_per_epoch
        total = self.config.epochs * self.steps_per_epoch
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1.0, total - warmup)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def train_epoch(self, bar: tqdm[Any]) -> dict[str, float]:
        """Train for one epoch; returns its number, mean loss, last learning rate and images per second."""
        self.encoder.train()
        start, seen, losses = time.perf_counter(), 0, []
        for rows in self._batches(self.epoch):
            loss = self._train_step(torch.from_numpy(rows).to(self.device))
            losses.append(loss)
            seen += len(rows)
            bar.update()
        self.epoch += 1
        return {
            "epoch": self.epoch,
            "loss": float(torch.stack(losses).mean()),
            "learning_rate": self.learning_rate(self.step - 1),
            "images_per_second": round(seen / (time.perf_counter() - start), 1),
        }

    def _train_step(self, rows: Tensor) -> Tensor:
        rate = self.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        views = self._views(rows)
        # On a GPU the convolutions run in bfloat16; the loss, whose exponents span e^25, stays in float32.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            embeddings = self.encoder(views)
        embeddings = nn.functional.normalize(embeddings.float(), dim=1)
        loss: Tensor = self.loss(embeddings, self.labels[rows])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._update_average()
        self.step += 1
        return loss.detach()

    def _views(self, rows: Tensor) -> Tensor:
        generator = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.step)
        augment = Augment(self.config.augment, self.spec.input_size, generator)
        views = augment(self.pixels[rows].permute(0, 3, 1, 2))
        mean = torch.tensor(self.spec.mean, device=self.device).view(1, 3, 1, 1)
        std = torch.tensor(self.spec.std, device=self.device).view(1, 3, 1, 1)
        return (views - mean) / std

    @torch.no_grad()
    def _update_average(self) -> None:
        # Short runs would keep the random start in the average: the decay grows into its value.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        trained = self.encoder.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(trained[name], 1 - decay)
            else:
                value.copy_(trained[name])

    def save(self, run: Path) -> None:
        """Write the checkpoint to resume from, and the encoder as it stands."""
        save_encoder(run / ENCODER_FILE, self.average, self.spec)
        state = {
            "format_version": FORMAT_VERSION,
            "config": self.config.to_toml(),
            "images": len(self.images),
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
    return NormalisedSoftmaxLoss(len(images.classes), config.encoder.embedding_dim, config.temperature)


def _build_optimizer(config: TrainingConfig, encoder: nn.Module, loss: nn.Module) -> torch.optim.Optimizer:
    parameters = [*encoder.parameters(), *loss.parameters()]
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
    )


def _first_difference(old: str, new: str) -> str:
    for before, after in zip(old.splitlines(), new.splitlines(), strict=False):
        if before != after:
            return f"was trained with {before}, not {after.partition(' = ')[2]}"
    return "was trained with other settings"


def _pick_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no GPU that torch can use here; pass --device cpu or leave it out")
    return torch.device(name)


def train(
    config: TrainingConfig, images: ImageSet, held_out: ImageSet | None, run: Path, device: str
) -> dict[str, float]:
    """Train, or resume, a run to its end and return what was measured on the held-out images.

    Args:
        config: the settings; a run folder that has a checkpoint must have been started with the same.
        images: what to train on.
        held_out: what to measure on; None measures nothing.
        run: the run folder, made if absent.
        device: `cpu`, `cuda`, or `auto` for a GPU if there is one.

    Raises:
        UsageError: the folder holds a run with other settings.
        StorageError: the disk is full or read-only.
    """
    trainer = Trainer(config, images, device)
    run.mkdir(parents=True, exist_ok=True)
    if (run / CHECKPOINT_FILE).exists():
        trainer.resume(run)
    else:
        write_atomic(run / CONFIG_FILE, config.to_toml().encode())
    total = config.epochs * trainer.steps_per_epoch
    bar: tqdm[Any]
    with tqdm(total=total, initial=trainer.step, desc="training", unit="step", disable=None) as bar:
        while trainer.epoch < config.epochs:
            record = trainer.train_epoch(bar)
            bar.set_postfix(loss=f"{record['loss']:.3f}")
            trainer.save(run)
            with (run / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
    metrics: dict[str, float] = {}
    if held_out is not None and len(held_out) > 1:
        metrics = evaluate(trainer.average, trainer.spec, held_out, config.positives, config.seed)
    write_atomic(run / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    return metrics
