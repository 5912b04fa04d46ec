"""The two sides of QK Iteration (edgesim.training.qk) in a training run, and how they take turns.

One epoch is one iteration:

    1. Each key side takes its place: the own key model takes over the averaged query model; a teacher stays.
       The key backbone's features of all N images are computed, once.
    2. K-steps: the query model stands still, its descriptors of some thousand views are computed once, and
       the key head learns to find them (`key_head_step`). All N keys are computed in every step.
    3. Q-steps, the rest of the epoch: all N keys stand still, and the query model learns to be nearest to the
       key of the image that its view was made from (`nearest_key_loss`).

An image's key is that of the whole image, or of several crops of it. What a key side knows is a function of
the query model's average and the seed, so that a checkpoint needs to hold nothing of it. The paper's abstract
does not say when the key backbone is renewed, nor when steps alternate: our choice.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgesim.errors import UsageError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder
from edgesim.training.checkpoint import load_encoder
from edgesim.training.device import autocast
from edgesim.training.key_pictures import KeyPictures, Pictures
from edgesim.training.qk import FixedKeys, HeadKeys, key_head_step, nearest_key_loss
from edgesim.training.whitening import backbone_features

if TYPE_CHECKING:
    from edgesim.training.views import Views  # which needs the settings, and they need QKConfig

KEYS = ("own", "teacher", "both")
# Queries of a K-step, and views that are described at a time. Our choice.
_BATCH = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class QKConfig:
    """How keys are made and compared. All of it is our choice.

    Attributes:
        keys: `own`: the key model is an earlier state of the encoder; `teacher`: it is the encoder of
            `TrainingConfig.teacher`; `both`: the losses against the two are averaged.
        temperature: T of `nearest_key_loss`.
        teacher_temperature: the same against the teacher's keys.
        teacher_negatives: False: the encoder only imitates the teacher, by 1 - cosine with the image's key,
            and is not pushed from other images' keys, some of which show the same kind of thing.
        key_steps: K-steps in each iteration; 0: the key head stays as it was taken over.
        key_queries: views that the K-steps learn from.
        key_learning_rate: of the K-steps.
        crops: keys of each image: the whole, and crops - 1 random crops of half its area or more.
        views_of_crops: views are made of the crops too, each with its crop's key for its own, so that a view
            shows what its key was made of. An epoch passes over all crops: it is `crops` times as long.
    """

    keys: str = "own"
    temperature: float = 0.05
    teacher_temperature: float = 0.05
    teacher_negatives: bool = True
    key_steps: int = 20
    key_queries: int = 4096
    key_learning_rate: float = 1e-3
    crops: int = 1
    views_of_crops: bool = False

    def __post_init__(self) -> None:
        if self.keys not in KEYS:
            raise ValueError(f"keys must be one of {', '.join(KEYS)}, got {self.keys!r}")
        for name in ("temperature", "teacher_temperature", "key_learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name, least in (("key_steps", 0), ("key_queries", 1), ("crops", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


class KeySide:
    """A key model and the keys of N images.

    Args:
        encoder: the key model; copied.
        spec: its input.
        pictures: (N, S, S, 3) uint8, what keys are made of, at any size.
        device: where it computes.
        precision: see `TrainingConfig`.
    """

    def __init__(
        self,
        encoder: Encoder,
        spec: ModelSpec,
        pictures: Pictures,
        device: torch.device,
        precision: str,
    ) -> None:
        self.encoder = copy.deepcopy(encoder).to(device).eval().requires_grad_(False)
        self.spec, self.device, self.precision = spec, device, precision
        self.pictures = pictures
        self.features = torch.empty(0)
        self.keys = FixedKeys(torch.empty(0))

    def take_over(self, encoder: Encoder) -> None:
        """Become the encoder, and compute the features and keys of all images."""
        self.encoder.load_state_dict(encoder.state_dict())
        self.renew()

    def renew(self) -> None:
        """Compute the backbone's features of all images, in 16 bits, and their keys."""
        self.features = backbone_features(self.encoder, self.spec, self.pictures, self.device, self.precision)
        self._renew_keys(self.encoder.embedding)

    def _renew_keys(self, head: nn.Module) -> None:
        self.keys = HeadKeys(head, self.features).fixed()

    def learn(
        self, queries: Tensor, targets: Tensor, config: QKConfig, seed: int, sources: Tensor | None = None
    ) -> None:
        """Take the K-steps: the head learns to be found by these queries, which stand still.

        Args:
            queries: (B, D) float32, of length 1.
            targets: (B,): the row of each query's own key.
            config: how many steps, and how large.
            seed: decides which queries each step meets.
            sources: see `nearest_key_loss`.
        """
        head = self.encoder.embedding.requires_grad_(True)
        keys = HeadKeys(head, self.features)
        optimizer = torch.optim.Adam(head.parameters(), lr=config.key_learning_rate)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(config.key_steps):
            rows = torch.randperm(len(queries), generator=generator)[:_BATCH].to(self.device)
            optimizer.zero_grad()
            key_head_step(keys, queries[rows], targets[rows], temperature=config.temperature, sources=sources)
            optimizer.step()
        head.requires_grad_(False)
        self._renew_keys(head)


def teacher_side(
    run: str,
    embedding_dim: int,
    pictures: Pictures,
    device: torch.device,
    precision: str,
) -> KeySide:
    """Return the key side of a trained run, with all keys. Raises `UsageError` if its descriptors differ."""
    encoder, spec = load_encoder(Path(run))
    if spec.embedding_dim != embedding_dim:
        raise UsageError(
            f"teacher {run}: its descriptors have {spec.embedding_dim} numbers, the student's "
            f"{embedding_dim}; give both the same embedding_dim"
        )
    side = KeySide(encoder, spec, pictures, device, precision)
    side.renew()
    return side


class QKIteration:
    """The objective of a run by QK Iteration; `Trainer` calls `prepare` before each epoch and `loss` in it.

    Args:
        config: how keys are made and compared.
        encoder: the query model as it starts.
        spec: its input.
        pixels: (N, S, S, 3) uint8: the training images.
        device: where it computes.
        precision: see `TrainingConfig`.
        seed: of the crops and of the K-steps.
        teacher: run of the teacher; "" where `config.keys` is `own`.

    Raises:
        UsageError: a teacher is missing, or does not fit.
    """

    def __init__(
        self,
        config: QKConfig,
        encoder: Encoder,
        spec: ModelSpec,
        pixels: NDArray[np.uint8],
        device: torch.device,
        *,
        precision: str,
        seed: int,
        teacher: str,
    ) -> None:
        if teacher and config.keys == "own":
            raise UsageError("keys = own takes no teacher; leave --teacher out, or set keys = both")
        if not teacher and config.keys != "own":
            raise UsageError(f"keys = {config.keys} needs a teacher; pass --teacher RUN, or set keys = own")
        self.config, self.seed, self.images = config, seed, len(pixels)
        self.pictures = KeyPictures(pixels, config.crops, seed)
        self.sources = None
        if config.crops > 1:
            self.sources = torch.arange(len(self.pictures), device=device) % self.images
        self.own: KeySide | None = None
        self.teacher: KeySide | None = None
        if config.keys != "teacher":
            pictures = self.pictures.resized(spec.input_size)  # once, not in every iteration
            self.own = KeySide(encoder, spec, pictures, device, precision)
        if teacher:
            self.teacher = teacher_side(teacher, spec.embedding_dim, self.pictures, device, precision)

    @property
    def queries_wanted(self) -> int:
        """How many views' descriptors `begin` learns from."""
        return self.config.key_queries if self.own is not None and self.config.key_steps else 0

    def prepare(self, query: Encoder, views: Views, epoch: int) -> None:
        """Begin an iteration with views of images that are drawn for it; see `begin`."""
        rng = np.random.default_rng((self.seed, epoch, 1))
        rows = torch.from_numpy(rng.permutation(self.images)[: self.queries_wanted])
        queries = torch.empty(len(rows), views.spec.embedding_dim, device=views.device)
        query.eval()
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            # Steps count from 0: views of these numbers are met nowhere else.
            batch = views.of(rows[part], -1 - start - epoch * self.images)
            with torch.no_grad(), autocast(views.config.precision, views.device):
                queries[part] = functional.normalize(query(batch).float(), dim=1)
        self.begin(query, queries, rows.to(views.device), epoch)

    def begin(self, query: Encoder, queries: Tensor, targets: Tensor, epoch: int) -> None:
        """Begin an iteration: renew the own key side and take its K-steps.

        Args:
            query: the query model's average.
            queries: (B, D) float32: its descriptors of some views, of length 1.
            targets: (B,): the image of each.
            epoch: number of the iteration.
        """
        if self.own is None:
            return
        self.own.take_over(query)
        if self.config.key_steps:
            seed = self.seed * 1_000_003 + epoch
            self.own.learn(queries, targets, self.config, seed, self.sources)

    def loss(self, queries: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a Q-step: queries (B, D) float32 of length 1, their images (B,) -> scalar."""
        losses = []
        if self.own is not None:
            losses.append(self._against(self.own, queries, targets, self.config.temperature))
        if self.teacher is not None and self.config.teacher_negatives:
            losses.append(self._against(self.teacher, queries, targets, self.config.teacher_temperature))
        elif self.teacher is not None:
            keys = self.teacher.keys.rows(targets)
            losses.append(1 - (queries * keys).sum(1).mean())
        return torch.stack(losses).mean()

    def _against(self, side: KeySide, queries: Tensor, targets: Tensor, temperature: float) -> Tensor:
        return nearest_key_loss(queries, side.keys, targets, temperature=temperature, sources=self.sources)
