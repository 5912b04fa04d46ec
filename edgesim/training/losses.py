"""The two losses: Multi-Similarity with its miner, and cross-entropy over normalised class weights.

Both take L2-normalised embeddings, since similarity here is the cosine. Shapes: B embeddings of D numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def multi_similarity_pairs(similarity: Tensor, labels: Tensor, epsilon: float = 0.1) -> tuple[Tensor, Tensor]:
    """Choose the informative pairs of every anchor (Wang et al., CVPR 2019, arXiv 1904.06627, section 3.2).

    A negative is kept when it is more similar than the least similar positive minus epsilon, a positive when
    it is less similar than the most similar negative plus epsilon (equations 6 and 7). An anchor that lacks
    positives keeps no negatives, and one that lacks negatives no positives.

    Args:
        similarity: (B, B) cosines.
        labels: (B,) integers; equal labels make a positive pair, the anchor itself excepted.
        epsilon: the margin.

    Returns:
        Two boolean (B, B) masks, of the positives and of the negatives kept.
    """
    same = labels[:, None] == labels[None, :]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    lowest_positive = similarity.masked_fill(~positive, torch.inf).min(dim=1, keepdim=True).values
    highest_negative = similarity.masked_fill(same, -torch.inf).max(dim=1, keepdim=True).values
    return (
        positive & (similarity < highest_negative + epsilon),
        ~same & (similarity > lowest_positive - epsilon),
    )


def multi_similarity_loss(
    similarity: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
) -> Tensor:
    """Return the Multi-Similarity loss of chosen pairs (Wang et al. 2019, equation 8), a scalar.

        1/B sum over anchors of  1/alpha log(1 + sum over positives of exp(-alpha (S - base)))
                               + 1/beta  log(1 + sum over negatives of exp( beta  (S - base)))

    Args:
        similarity: (B, B) cosines.
        positive: (B, B) mask of the positive pairs that count.
        negative: (B, B) mask of the negative pairs that count.
        alpha: weight of the positives' spread; 2 in the paper.
        beta: weight of the negatives' spread; 50 in the paper.
        base: the cosine that divides similar from dissimilar; 0.5, as in common implementations.
    """
    pull = _log_one_plus_sum_exp(-alpha * (similarity - base), positive) / alpha
    push = _log_one_plus_sum_exp(beta * (similarity - base), negative) / beta
    return (pull + push).mean()


def _log_one_plus_sum_exp(exponents: Tensor, mask: Tensor) -> Tensor:
    """Return log(1 + sum of exp) over each row's masked entries, without overflow; (B, B) -> (B,)."""
    masked = exponents.masked_fill(~mask, -torch.inf)
    return torch.logsumexp(functional.pad(masked, (0, 1), value=0.0), dim=1)


class MultiSimilarityLoss(nn.Module):
    """Mining and loss together: embeddings (B, D), L2-normalised, and labels (B,) -> scalar."""

    def __init__(self, epsilon: float = 0.1) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss; the choice of pairs is not differentiated through."""
        similarity = embeddings @ embeddings.T
        with torch.no_grad():
            positive, negative = multi_similarity_pairs(similarity, labels, self.epsilon)
        return multi_similarity_loss(similarity, positive, negative)


class NormalisedSoftmaxLoss(nn.Module):
    """Cross-entropy with its classification head: one L2-normalised weight vector a class, no bias.

    The logits are cosines over a temperature (Zhai & Wu 2019, arXiv 1811.12649), so that the head trains the
    same cosine that retrieval uses. Islam et al. name cross-entropy but not its head: our choice.

    Args:
        classes: number of classes.
        embedding_dim: D.
        temperature: divides the cosines.
        label_smoothing: share of each target that is spread evenly over all classes (Szegedy et al., CVPR
            2016, arXiv 1512.00567, section 7).
    """

    def __init__(
        self, classes: int, embedding_dim: int, temperature: float = 0.05, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, embedding_dim) / embedding_dim**0.5)
        self.temperature, self.label_smoothing = temperature, label_smoothing

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Map L2-normalised embeddings (B, D) to their cosines (B, classes) with the class weights."""
        return embeddings @ functional.normalize(self.weight, dim=1).T

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Map L2-normalised embeddings (B, D) and class numbers (B,) to the mean cross-entropy."""
        logits = self.cosines(embeddings) / self.temperature
        return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
