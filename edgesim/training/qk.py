"""QK Iteration (Wu & Wu 2021, arXiv 2111.07954): the loss against every key, exact, in bounded memory.

What the paper's abstract says: a query model and a key model are learnt jointly, each SGD step pushes against
about a million negatives, and this is possible because the backbone of one side is frozen while Q-steps and
K-steps alternate. What follows, and is done here:

    Q-step   The key model stands still. The descriptors of all N keys are computed once and stay exact; the
             query model learns against all of them (`nearest_key_loss`).
    K-step   The query model and the key backbone stand still. The backbone's features of all N images are
             computed once; the key head learns, and every step computes all N keys anew (`key_head_step`).

The loss is not in the part of the paper that could be read. Ours, for a query q whose own key is k_t:

    L = -log( exp(-|q - k_t|^2 / 2T) / sum over j of exp(-|q - k_j|^2 / 2T) )

the softmax over L2 distances; for descriptors of length 1 it is InfoNCE at temperature T. With p the softmax,
dL/dq = (sum_j p_j k_j - k_t) / T: towards its own key, away from the mean of all keys that are
as near. The logits of a million keys do not fit into memory, so keys come in chunks; a sum of exponentials
and a weighted mean can be carried from chunk to chunk.

Shapes in this file: B queries, N keys, D numbers of a descriptor, F features of the key backbone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# So many keys against 256 queries stay in the cache of a processor. Our choice.
CHUNK = 4096


class FixedKeys:
    """Keys that stand still, as in a Q-step.

    Args:
        table: (N, D), of any floating type; bfloat16 halves the memory of a million keys.
    """

    def __init__(self, table: Tensor) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def rows(self, chosen: slice | Tensor) -> Tensor:
        """Return the keys of a slice, or those of the numbers (n,), as (n, D) float32."""
        return self.table[chosen].float()


class HeadKeys:
    """Keys computed from features that stand still by a head that learns, as in a K-step.

    Args:
        head: maps (n, F) float32 to (n, D).
        features: (N, F), of any floating type.
    """

    def __init__(self, head: nn.Module, features: Tensor) -> None:
        self.head, self.features = head, features

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, chosen: slice) -> Tensor:
        """Return the keys of a slice, (n, D) float32, of length 1."""
        return functional.normalize(self.head(self.features[chosen].float()), dim=1)

    def fixed(self, chunk: int = CHUNK) -> FixedKeys:
        """Return all keys as they are now, in 16 bits."""
        with torch.no_grad():
            parts = [self.rows(part).to(torch.bfloat16) for part in _chunks(len(self), chunk)]
        return FixedKeys(torch.cat(parts))


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


class _Comparison:
    """The queries of one step, which key is each one's own, and which keys it must not be pushed from.

    Args:
        queries: (B, D) float32, without gradient.
        targets: (B,) int64: the row of each query's own key.
        temperature: T.
        sources: (N,) integers: which image each key was made from; None where every key has its own. Another
            key of the query's image, say another crop of it, is neither its own nor a negative.
    """

    def __init__(self, queries: Tensor, targets: Tensor, temperature: float, sources: Tensor | None) -> None:
        self.queries, self.targets, self.temperature, self.sources = queries, targets, temperature, sources

    def logits(self, keys: Tensor, chunk: slice) -> Tensor:
        """Return -|q - k|^2 / 2T, (B, n), for the keys (n, D) of a chunk; -inf where a key does not count."""
        lengths = self.queries.square().sum(1, keepdim=True) + keys.square().sum(1)
        logits = torch.addmm(lengths, self.queries, keys.T, beta=-0.5, alpha=1.0) / self.temperature
        if self.sources is None:
            return logits
        same = self.sources[chunk] == self.sources[self.targets, None]
        return logits.masked_fill(same & ~self.own(chunk), -torch.inf)

    def own(self, chunk: slice) -> Tensor:
        """Return (B, n): whether the key is the query's own."""
        columns = torch.arange(chunk.start, chunk.stop, device=self.targets.device)
        return self.targets[:, None] == columns

    @torch.no_grad()
    def softmax(self, keys: FixedKeys | HeadKeys, chunk: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the softmax over all keys comes to, in one pass.

        Returns:
            (B,) logarithm of the sum of exponentials; (B,) the own key's logit; (B, D) the mean of all keys,
            weighted by the softmax.
        """
        # Finite: in a first chunk where no key counts, -inf less -inf would be no number.
        largest = torch.full_like(self.queries[:, 0], torch.finfo(torch.float32).min)
        total, own, mean = (
            torch.zeros_like(largest),
            torch.zeros_like(largest),
            torch.zeros_like(self.queries),
        )
        for part in _chunks(len(keys), chunk):
            rows = keys.rows(part)
            logits = self.logits(rows, part)
            inside = ((self.targets >= part.start) & (self.targets < part.stop)).nonzero().squeeze(1)
            own[inside] = logits[inside, self.targets[inside] - part.start]
            # What was summed before is brought to the scale of the largest logit so far.
            before, largest = largest, torch.maximum(largest, logits.max(dim=1).values)
            shrink = torch.exp(before - largest)
            share = logits.sub_(largest[:, None]).exp_()
            total = total * shrink + share.sum(1)
            mean = mean * shrink[:, None] + share @ rows
        return largest + total.log(), own, mean / total[:, None]


class _NearestKeyLoss(torch.autograd.Function):
    """The loss of a Q-step, and its gradient by the queries, which comes with the loss."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, step: _Comparison, keys: FixedKeys, chunk: int) -> Tensor:
        total, own, mean = step.softmax(keys, chunk)
        gradient = (mean - keys.rows(step.targets)) / (step.temperature * len(queries))
        ctx.save_for_backward(gradient)
        return (total - own).mean()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return upstream[0] * gradient, None, None, None


def nearest_key_loss(
    queries: Tensor,
    keys: FixedKeys,
    targets: Tensor,
    *,
    temperature: float,
    sources: Tensor | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Return the mean loss of a Q-step, a scalar that can be differentiated by the queries.

    Args:
        queries: (B, D) float32.
        keys: all N keys; they are not differentiated.
        targets: (B,) int64: the row of each query's own key.
        temperature: T.
        sources: (N,) integers: which image each key was made from; None where every key has its own. Another
            key of the query's image, say another crop of it, is neither its own nor a negative.
        chunk: how many keys are compared at a time; memory grows with B * chunk, not with B * N.
    """
    step = _Comparison(queries.detach(), targets, temperature, sources)
    loss: Tensor = _NearestKeyLoss.apply(queries, step, keys, chunk)  # type: ignore[no-untyped-call]
    return loss


def key_head_step(
    keys: HeadKeys,
    queries: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    sources: Tensor | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Add the gradient of a K-step to the head's parameters; the queries stand still.

    All N keys are computed from their features twice, for the sum and, that known, for each chunk's part of
    the gradient; none is kept. The arguments are those of `nearest_key_loss`. Returns the mean loss, a scalar
    without gradient.
    """
    step = _Comparison(queries.detach(), targets, temperature, sources)
    total, own, _ = step.softmax(keys, chunk)
    for part in _chunks(len(keys), chunk):
        logits = step.logits(keys.rows(part), part)
        with torch.no_grad():
            # The loss's gradient by the logits: softmax, minus one at the own key.
            weights = torch.exp(logits - total[:, None])
            weights[step.own(part)] -= 1.0
        # Its gradient is the loss's, the weights being constants. A key that does not count is 0 * -inf.
        torch.where(weights == 0, 0.0, weights * logits).sum().div(len(queries)).backward()  # type: ignore[no-untyped-call]
    return (total - own).mean()
