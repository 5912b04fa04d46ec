"""The two usual sources of negatives that QK Iteration is compared with: the batch, and a queue.

Shapes: B images, D numbers of a descriptor of length 1, M descriptors in a queue.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def batch_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return NT-Xent, the loss of SimCLR (Chen et al., ICML 2020, arXiv 2002.05709, equation 1), a scalar.

    Args:
        first: (B, D), one view of each image.
        second: (B, D), another view of each.
        temperature: divides the cosines.
    """
    views = torch.cat([first, second])
    logits = views @ views.T / temperature
    logits.fill_diagonal_(-torch.inf)
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return functional.cross_entropy(logits, partner)


class Queue:
    """The last M keys, of a key model that follows the query model slowly.

    MoCo (He et al., CVPR 2020, arXiv 1911.05722), algorithm 1.

    Args:
        size: M.
        embedding_dim: D.
        generator: source of the first, random keys.
    """

    def __init__(self, size: int, embedding_dim: int, generator: torch.Generator) -> None:
        self.keys = functional.normalize(torch.randn(size, embedding_dim, generator=generator), dim=1)
        self._next = 0

    def loss(self, queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
        """Return InfoNCE of queries (B, D) against their keys (B, D) and the queue's, then add the keys."""
        own = (queries * keys).sum(1, keepdim=True)
        logits = torch.cat([own, queries @ self.keys.T], dim=1) / temperature
        self._add(keys)
        return functional.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.long))

    def _add(self, keys: Tensor) -> None:
        places = (self._next + torch.arange(len(keys))) % len(self.keys)
        # A copy: the loss just returned still needs the old keys for its gradient.
        self.keys = self.keys.index_copy(0, places, keys.detach())
        self._next = (self._next + len(keys)) % len(self.keys)


@torch.no_grad()
def follow(key: torch.nn.Module, query: torch.nn.Module, momentum: float) -> None:
    """Move the key model's weights and statistics towards the query model's: k = m k + (1 - m) q."""
    trained = query.state_dict()
    for name, value in key.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(trained[name], 1 - momentum)
        else:
            value.copy_(trained[name])
