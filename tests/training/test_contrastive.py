"""Negatives of the batch and of a queue: against pytorch-metric-learning, loops, and plain arithmetic."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss
from torch import nn
from torch.nn import functional

from edgesim.training.contrastive import Queue, batch_loss, follow

DIM = 5


def drawn(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, DIM, generator=generator), dim=1)


def queue(size=6):
    return Queue(size, DIM, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_batchs_loss_and_gradient_equal_the_reference(temperature):
    first, second = drawn(6, 1), drawn(6, 2)
    ours, theirs = (torch.cat([first, second]).requires_grad_() for _ in range(2))
    loss = batch_loss(ours[:6], ours[6:], temperature)
    reference = NTXentLoss(temperature)(theirs, torch.arange(6).repeat(2))
    loss.backward()
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    # The reference normalises once more, which projects its gradient; ours gets the same projection here.
    views = ours.detach()
    projected = ours.grad - (ours.grad * views).sum(1, keepdim=True) * views
    torch.testing.assert_close(projected, theirs.grad, rtol=1e-4, atol=1e-5)


def info_nce(queries, keys, negatives, temperature):
    """Loops over queries and negatives, in Python's own numbers."""
    losses = []
    for query, key in zip(queries.tolist(), keys.tolist(), strict=True):
        own, *others = (
            math.exp(sum(a * b for a, b in zip(query, other, strict=True)) / temperature)
            for other in [key, *negatives.tolist()]
        )
        losses.append(-math.log(own / (own + sum(others))))
    return sum(losses) / len(losses)


def test_the_queues_loss_has_the_queue_and_no_other_key_of_the_batch_as_negatives():
    held, queries, keys = queue(), drawn(4, 1), drawn(4, 2)
    before = held.keys.clone()
    torch.testing.assert_close(before.norm(dim=1), torch.ones(6))
    expected = info_nce(queries, keys, before, 0.2)
    assert held.loss(queries, keys, 0.2).item() == pytest.approx(expected, rel=1e-5)
    # What was added is met by the next batch.
    again = info_nce(queries, keys, torch.cat([keys, before[4:]]), 0.2)
    assert held.loss(queries, keys, 0.2).item() == pytest.approx(again, rel=1e-5)


def test_new_keys_replace_the_oldest_in_order():
    held, batches = queue(), [drawn(4, seed) for seed in (1, 2, 3)]
    random = held.keys.clone()
    held.loss(batches[0], batches[0], 0.2)
    assert torch.equal(held.keys, torch.cat([batches[0], random[4:]]))
    held.loss(batches[1], batches[1], 0.2)
    assert torch.equal(held.keys, torch.cat([batches[1][2:], batches[0][2:], batches[1][:2]]))
    held.loss(batches[2], batches[2], 0.2)
    assert torch.equal(held.keys, torch.cat([batches[1][2:], batches[2]]))


def test_the_queues_loss_is_differentiated_by_the_queries_alone():
    held, keys = queue(), drawn(4, 2)
    before = held.keys.clone()
    ours, theirs = (drawn(4, 1).requires_grad_() for _ in range(2))
    # The gradient comes after the keys were replaced.
    held.loss(ours, keys, 0.2).backward()
    logits = torch.cat([(theirs * keys).sum(1, keepdim=True), theirs @ before.T], dim=1) / 0.2
    (torch.logsumexp(logits, dim=1) - logits[:, 0]).mean().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert not held.keys.requires_grad


def test_a_model_follows_by_its_momentum():
    torch.manual_seed(0)
    key, query = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2))
    query(torch.randn(8, 3))  # moves its statistics, and counts a batch
    before = {name: value.clone() for name, value in key.state_dict().items()}
    trained = {name: value.clone() for name, value in query.state_dict().items()}
    follow(key, query, 0.75)
    for name, value in key.state_dict().items():
        expected = 0.75 * before[name] + 0.25 * trained[name] if "tracked" not in name else torch.tensor(1)
        torch.testing.assert_close(value, expected)
    assert all(torch.equal(value, trained[name]) for name, value in query.state_dict().items())
