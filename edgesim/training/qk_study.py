"""The check of Wu & Wu 2021 on one's own images: does QK Iteration find copies better than the usual losses?

Small on purpose, so that a PC answers in minutes. Every method trains the same architecture on the same
images, by the same edits and for the same number of views; only where negatives come from differs:

    qk            all images, exact; query and key model with a head each
    qk_one_head   the same, but one head serves both: what separate heads are worth
    simclr        the other images of the batch
    moco          a queue of the last keys

For qk the references are described by the key model, as in the paper, and, as a row of its own, by the
query model. What the paper reports (abstract): micro-AP 0.3403 against 0.2001 for SimCLR. Scale, queue,
momentum and all settings are our choice.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from edgesim.copy_metrics import copy_detection_metrics, predict
from edgesim.edits import EDITS, edited_copy
from edgesim.errors import InputError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig, embed_pixels, network_input
from edgesim.models.zoo import load_model
from edgesim.preprocess import resize_image
from edgesim.training.contrastive import Queue, batch_loss, follow
from edgesim.training.copy_augment import CopyAugment, CopyAugmentConfig
from edgesim.training.qk import HeadKeys, key_head_step, nearest_key_loss
from edgesim.training.qk_iteration import KeySide, QKConfig
from edgesim.training.samplers import view_batches

METHODS = ("qk", "qk_one_head", "simclr", "moco")
# Fewer leave too few copies to compare methods by.
MIN_IMAGES = 100
_QUEUE, _MOMENTUM = 4096, 0.99
# In float32 on the CPU, so that any PC can make it.
_CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudySettings:
    """How large the study is.

    Attributes:
        epochs: views of each image that each method is trained on.
        batch_size: views in a step.
        learning_rate: peak of the cosine schedule of AdamW.
        temperature: of every method's softmax.
        source_size: images are held at this size in pixels.
        input_size: the encoders' input.
        key_steps: K-steps of each iteration.
        holdout: share of the images that the methods are measured on.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 2e-3
    temperature: float = 0.07
    source_size: int = 96
    input_size: int = 64
    key_steps: int = 20
    holdout: float = 0.25

    @property
    def encoder(self) -> EncoderConfig:
        """The architecture: that of small encoders for photographs, at the study's input size."""
        return dataclasses.replace(load_model("photo"), input_size=self.input_size)


class _Run:
    """One method's training: the query model, its optimiser, and views of images."""

    def __init__(self, pixels: NDArray[np.uint8], settings: StudySettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.pixels, self.settings, self.seed = pixels, settings, seed
        self.spec = ModelSpec(name="study", input_size=settings.input_size, embedding_dim=128)
        self.query = Encoder(settings.encoder)
        self.query.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.augment = CopyAugment(CopyAugmentConfig(), settings.input_size)
        steps = settings.epochs * max(1, len(pixels) // settings.batch_size)
        self.optimizer = torch.optim.AdamW(self.query.parameters(), lr=settings.learning_rate)
        # torch divides by 0.1 * steps - 1 in the warm-up.
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.learning_rate, steps, pct_start=0.2 if steps == 10 else 0.1
        )
        self._drawn = 0

    def batches(self, epoch: int) -> Iterator[Tensor]:
        """Yield the rows of each step of an epoch."""
        size = self.settings.batch_size
        return map(torch.from_numpy, view_batches(len(self.pixels), size, 1, self.seed, epoch))

    def views(self, rows: Tensor) -> Tensor:
        """Return new views of images, as the network takes them."""
        self._drawn += 1
        made = self.augment.batch(self.pixels[rows.numpy()], self.seed * 1_000_003 + self._drawn)
        return network_input(made, self.spec, _CPU).contiguous(memory_format=torch.channels_last)

    def describe(self, rows: Tensor, encoder: Encoder | None = None) -> Tensor:
        """Return descriptors (B, D) of new views of images."""
        return (encoder or self.query).embed(self.views(rows))

    def step(self, loss: Tensor) -> None:
        """Learn from one batch."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()


def _train_simclr(run: _Run) -> Encoder:
    # Half the images, two views of each: as many views as the others.
    for epoch in range(run.settings.epochs):
        for rows in run.batches(epoch):
            half = rows[: max(1, len(rows) // 2)]
            run.step(batch_loss(run.describe(half), run.describe(half), run.settings.temperature))
    return run.query


def _train_moco(run: _Run) -> Encoder:
    key = copy.deepcopy(run.query).requires_grad_(False)
    queue = Queue(_QUEUE, run.spec.embedding_dim, torch.Generator().manual_seed(run.seed))
    for epoch in range(run.settings.epochs):
        for rows in run.batches(epoch):
            with torch.no_grad():
                keys = run.describe(rows, key)
            run.step(queue.loss(run.describe(rows), keys, run.settings.temperature))
            follow(key, run.query, _MOMENTUM)
    return run.query


def _train_qk(run: _Run, one_head: bool) -> Encoder:
    """Train by QK Iteration; returns the key model. `run.query` is the query model."""
    settings = run.settings
    side = KeySide(run.query, run.spec, run.pixels, _CPU, "float32")
    for epoch in range(settings.epochs):
        _begin_iteration(run, side, epoch, one_head)
        run.query.train()
        for batch in run.batches(epoch):
            loss = nearest_key_loss(run.describe(batch), side.keys, batch, temperature=settings.temperature)
            run.step(loss)
    # Without K-steps of its own the last key model would be the query model.
    _begin_iteration(run, side, settings.epochs, one_head)
    return side.encoder


def _begin_iteration(run: _Run, side: KeySide, epoch: int, one_head: bool) -> None:
    """Let the key model take over the query model, and take the K-steps."""
    run.query.eval()
    side.take_over(run.query)
    order = np.random.default_rng((run.seed, epoch, 1)).permutation(len(run.pixels))
    rows = torch.from_numpy(order[:1024])
    views = [run.views(rows[start : start + 256]) for start in range(0, len(rows), 256)]
    seed = run.seed * 1_000_003 + epoch
    if one_head:
        _one_head_steps(run, side, views, rows, seed)
        return
    with torch.no_grad():
        queries = torch.cat([run.query.embed(part) for part in views])
    config = QKConfig(temperature=run.settings.temperature, key_steps=run.settings.key_steps)
    side.learn(queries, rows, config, seed)


def _one_head_steps(run: _Run, side: KeySide, views: list[Tensor], rows: Tensor, seed: int) -> None:
    """K-steps of the head that both models share: it learns on both sides of the comparison."""
    with torch.no_grad():
        features = torch.cat([run.query.features(part) for part in views])
    head, temperature = run.query.embedding, run.settings.temperature
    keys = HeadKeys(head, side.features)
    optimizer = torch.optim.Adam(head.parameters(), lr=QKConfig().key_learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(run.settings.key_steps):
        chosen = torch.randperm(len(rows), generator=generator)[:256]
        queries = functional.normalize(head(features[chosen]), dim=1)
        optimizer.zero_grad()
        # The two halves of the gradient: through the queries, and through the keys.
        nearest_key_loss(queries, keys.fixed(), rows[chosen], temperature=temperature).backward()  # type: ignore[no-untyped-call]
        key_head_step(keys, queries, rows[chosen], temperature=temperature)
        optimizer.step()
    side.take_over(run.query)


@dataclasses.dataclass(frozen=True)
class _Copies:
    """What methods are measured on: references, and edited copies of them and of pictures that are none."""

    references: NDArray[np.uint8]
    queries: NDArray[np.uint8]
    truth: NDArray[np.int64]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], seed: int) -> _Copies:
        """Make the copies of held-out images (H, S, S, 3).

        Two thirds are references, with two copies each; the copy of every other image has no match. A copy
        went through two of the edits of `edgesim.edits`, which no training uses.
        """
        pictures = [Image.fromarray(image) for image in pixels]
        references = len(pictures) * 2 // 3
        plan = [*range(references), *range(len(pictures))]
        # What a copy is laid onto must be no reference either.
        others = pictures[references:]
        copies = [
            _edited_twice(pictures[row], others[(row + 1) % len(others)], seed + i)
            for i, row in enumerate(plan)
        ]
        found = [(query, row) for query, row in enumerate(plan) if row < references]
        size = pixels.shape[1]
        return cls(
            pixels[:references],
            np.stack([resize_image(picture, size) for picture in copies]),
            np.array(found, dtype=np.int64),
        )

    def measure(self, query: Encoder, key: Encoder, spec: ModelSpec) -> dict[str, float]:
        """Return the figures of a query model, with references described by a key model."""
        query.eval()
        key.eval()
        described = embed_pixels(query, spec, self.queries), embed_pixels(key, spec, self.references)
        return copy_detection_metrics(predict(*described), self.truth)


def _edited_twice(picture: Image.Image, other: Image.Image, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    for edit in rng.permutation(list(EDITS))[:2]:
        picture = edited_copy(picture, str(edit), int(rng.integers(2**32)), other)
    return picture


def run_study(
    pixels: NDArray[np.uint8],
    settings: StudySettings,
    seeds: int,
    done: Callable[[], None] = lambda: None,
) -> dict[str, list[dict[str, float]]]:
    """Train and measure every method.

    Args:
        pixels: (N, S, S, 3) uint8, S the settings' `source_size`; `MIN_IMAGES` at least.
        settings: how large the study is.
        seeds: how many runs of each method; a run's seed also chooses which images are held out.
        done: called after each run, `len(METHODS) * seeds` times.

    Returns:
        Row of the table -> the figures of each seed: `micro_ap`, `recall_at_p90`, `recall_at_1`. The row
        `qk_query_model` is `qk` with references described by the query model.

    Raises:
        InputError: too few images.
    """
    if len(pixels) < MIN_IMAGES:
        raise InputError(
            f"{len(pixels)} usable images, the study needs {MIN_IMAGES} at least; better are some thousand"
        )
    results: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(pixels))
        held = round(len(pixels) * settings.holdout)
        copies = _Copies.of(pixels[order[:held]], seed)
        for method in METHODS:
            run = _Run(pixels[order[held:]], settings, seed)
            key = _TRAINERS[method](run)
            results.setdefault(method, []).append(copies.measure(run.query, key, run.spec))
            if method == "qk":
                figures = copies.measure(run.query, run.query, run.spec)
                results.setdefault("qk_query_model", []).append(figures)
            done()
    return results


_TRAINERS: dict[str, Callable[[_Run], Encoder]] = {
    "qk": lambda run: _train_qk(run, one_head=False),
    "qk_one_head": lambda run: _train_qk(run, one_head=True),
    "simclr": _train_simclr,
    "moco": _train_moco,
}
