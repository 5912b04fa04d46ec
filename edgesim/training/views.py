"""Augmented views of the training images, as the encoder takes them, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgesim.ahead import ahead
from edgesim.model_spec import ModelSpec
from edgesim.training import distributed
from edgesim.training.augment import Augment
from edgesim.training.config import TrainingConfig
from edgesim.training.copy_augment import CopyAugment
from edgesim.training.key_pictures import Pictures


class Views:
    """Makes the views of a run. What a view is depends on the seed and the step's number alone.

    Args:
        config: the settings; `augmentation` says by which of the two augmentations.
        spec: the encoder's input.
        pictures: (N, S, S, 3) uint8, what views are made of.
        device: where the views are wanted.
    """

    def __init__(
        self, config: TrainingConfig, spec: ModelSpec, pictures: Pictures, device: torch.device
    ) -> None:
        self.config, self.spec, self.pictures, self.device = config, spec, pictures, device
        self.copies: CopyAugment | None = None
        if config.augmentation == "copies":
            self.copies = CopyAugment(config.copies, spec.input_size)
        else:
            self.pixels = torch.from_numpy(pictures[:]).to(device)
        self.mean = torch.tensor(spec.mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(spec.std, device=device).view(1, 3, 1, 1)

    def batches(
        self, batches: Iterable[NDArray[np.intp]], first_step: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's rows of each batch, and their views; edited copies are made ahead."""

        def prepare(batch: tuple[int, NDArray[np.intp]]) -> tuple[Tensor, Tensor]:
            step, rows = batch
            own = distributed.share(torch.from_numpy(rows))
            return own.to(self.device), self.of(own, step)

        numbered = enumerate(batches, first_step)
        return map(prepare, numbered) if self.copies is None else ahead(prepare, numbered)

    def of(self, rows: Tensor, step: int) -> Tensor:
        """Return normalised views (B, 3, s, s), channels last, of the pictures at `rows` (B,)."""
        seed = (self.config.seed * 1_000_003 + step) * distributed.processes() + distributed.rank()
        if self.copies is not None:
            made = self.copies.batch(self.pictures[rows.numpy()], seed % 2**64)
            views = torch.from_numpy(made).to(self.device).permute(0, 3, 1, 2).float().div_(255.0)
        else:
            generator = torch.Generator(self.device).manual_seed(seed)
            augment = Augment(self.config.augment, self.spec.input_size, generator)
            views = augment(self.pixels[rows.to(self.device)].permute(0, 3, 1, 2))
        return views.sub_(self.mean).div_(self.std).contiguous(memory_format=torch.channels_last)
