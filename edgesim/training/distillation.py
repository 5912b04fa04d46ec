"""Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531): an encoder learns a larger one's answers.

Teacher and student are encoders with a head of class weights; the cosines between an embedding and the class
weights, over a temperature, are their logits. The student meets the labels at temperature t, and the teacher
at temperature tau. Shapes: B views, D numbers of an embedding, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgesim.errors import BundleError, UsageError
from edgesim.models.encoder import Encoder
from edgesim.training.checkpoint import CHECKPOINT_FILE, CONFIG_FILE, load_torch
from edgesim.training.config import TrainingConfig, load_config
from edgesim.training.device import autocast
from edgesim.training.losses import NormalisedSoftmaxLoss


class Teacher(nn.Module):
    """A trained encoder and its class weights, both fixed.

    Args:
        encoder: the encoder.
        class_weights: (C, D), one row a class; their lengths do not matter.
        precision: see `TrainingConfig`.
    """

    def __init__(self, encoder: Encoder, class_weights: Tensor, precision: str) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.class_weights: Tensor
        self.register_buffer("class_weights", functional.normalize(class_weights, dim=1))
        self.precision = precision

    @torch.no_grad()
    def forward(self, views: Tensor) -> Tensor:
        """Map normalised views (B, 3, s, s), resized to the teacher's input size, to cosines (B, C)."""
        size = self.encoder.config.input_size
        if views.shape[-1] != size:
            views = functional.interpolate(views, size=size, mode="bilinear", antialias=True)
        with autocast(self.precision, views.device):
            embeddings = self.encoder(views)
        return functional.normalize(embeddings.float(), dim=1) @ self.class_weights.T


def load_teacher(config: TrainingConfig, classes: Sequence[str]) -> Teacher:
    """Read the averaged encoder and the class weights of the run `config.teacher`.

    Args:
        config: the student's settings.
        classes: the names of the student's classes, in the order of their labels; the teacher's are equal.

    Raises:
        UsageError: no such run, trained without class weights, or on other classes.
        BundleError: its checkpoint is damaged.
    """
    run = Path(config.teacher)
    path = run / CHECKPOINT_FILE
    if not path.exists():
        raise UsageError(f"teacher {run}: no such run; train one with: edgesim train --loss ce --out {run}")
    taught, state = load_config(run / CONFIG_FILE), load_torch(path)
    if taught.loss != "ce":
        raise UsageError(f"teacher {run}: expected a run with loss = ce, got {taught.loss}; choose another")
    try:
        known, encoder = state["classes"], Encoder(taught.encoder)
        encoder.load_state_dict(state["average"])
        teacher = Teacher(encoder, state["loss"]["weight"], config.precision)
    except (KeyError, TypeError, RuntimeError) as error:
        raise BundleError(
            f"{path}: does not fit {run / CONFIG_FILE}, or is damaged; train it again"
        ) from error
    if known != list(classes):
        raise UsageError(
            f"teacher {run}: expected its {len(known)} classes ({_shown(known)}), "
            f"got {len(classes)} ({_shown(classes)}); choose another teacher"
        )
    return teacher


def _shown(classes: Sequence[str]) -> str:
    return ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")


def distillation_loss(
    head: NormalisedSoftmaxLoss,
    embeddings: Tensor,
    labels: Tensor,
    answers: Tensor,
    *,
    share: float,
    tau: float,
) -> Tensor:
    """Return (1 - a) CE(labels at t) + a (tau / t)^2 KL(teacher at tau || student at tau), a scalar.

    The factor keeps the size of the second term's gradient when tau changes (section 2 of the paper, whose T
    is tau / t here). Both terms are means over the batch.

    Args:
        head: the student's class weights, with its temperature t.
        embeddings: (B, D), the student's, L2-normalised.
        labels: (B,) class numbers.
        answers: (B, C), the teacher's cosines.
        share: a.
        tau: the temperature of the comparison.
    """
    divergence = functional.kl_div(
        functional.log_softmax(head.cosines(embeddings) / tau, dim=1),
        functional.log_softmax(answers / tau, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    from_labels: Tensor = head(embeddings, labels)
    return (1 - share) * from_labels + share * (tau / head.temperature) ** 2 * divergence
