"""The losses against pytorch-metric-learning, loops over pairs, and numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss as ReferenceLoss
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner

from edgesim.training.losses import (
    MultiSimilarityLoss,
    NormalisedSoftmaxLoss,
    multi_similarity_loss,
    multi_similarity_pairs,
)


def embeddings_and_labels(seed, count=48, dim=16, classes=6):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=1)
    labels = torch.randint(0, classes, (count,), generator=generator)
    return embeddings, labels


@pytest.mark.parametrize("seed", range(5))
def test_mined_pairs_equal_those_of_the_reference_miner(seed):
    embeddings, labels = embeddings_and_labels(seed)
    anchors_1, positives, anchors_2, negatives = MultiSimilarityMiner(epsilon=0.1)(embeddings, labels)
    positive, negative = multi_similarity_pairs(embeddings @ embeddings.T, labels, epsilon=0.1)
    assert set(map(tuple, positive.nonzero().tolist())) == set(
        zip(anchors_1.tolist(), positives.tolist(), strict=True)
    )
    assert set(map(tuple, negative.nonzero().tolist())) == set(
        zip(anchors_2.tolist(), negatives.tolist(), strict=True)
    )
    assert positive.any()
    assert negative.any()


@pytest.mark.parametrize("seed", range(5))
def test_loss_and_gradient_equal_the_reference(seed):
    embeddings, labels = embeddings_and_labels(seed)
    ours = embeddings.clone().requires_grad_()
    theirs = embeddings.clone().requires_grad_()
    loss = MultiSimilarityLoss(epsilon=0.1)(ours, labels)
    reference = ReferenceLoss(alpha=2, beta=50, base=0.5)(
        theirs, labels, MultiSimilarityMiner(epsilon=0.1)(theirs, labels)
    )
    loss.backward()
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    # The reference normalises once more, which projects its gradient; ours gets the same projection here.
    projected = ours.grad - (ours.grad * embeddings).sum(1, keepdim=True) * embeddings
    torch.testing.assert_close(projected, theirs.grad, rtol=1e-4, atol=1e-6)


def test_loss_of_three_embeddings_by_hand():
    # Anchors 0 and 1 are one class, 2 another. Cosines: s01 = 0.6, s02 = 0.8, s12 = 0.0.
    similarity = torch.tensor([[1.0, 0.6, 0.8], [0.6, 1.0, 0.0], [0.8, 0.0, 1.0]])
    labels = torch.tensor([0, 0, 1])
    positive, negative = multi_similarity_pairs(similarity, labels, epsilon=0.1)
    # Anchor 0: positive 0.6 < 0.8 + 0.1 kept; negative 0.8 > 0.6 - 0.1 kept.
    # Anchor 1: positive 0.6 < 0.0 + 0.1 fails; negative 0.0 > 0.6 - 0.1 fails.
    # Anchor 2 has no positive, so no negative is hard enough.
    assert positive.tolist() == [[False, True, False], [False, False, False], [False, False, False]]
    assert negative.tolist() == [[False, False, True], [False, False, False], [False, False, False]]
    anchor_0 = math.log(1 + math.exp(-2 * 0.1)) / 2 + math.log(1 + math.exp(50 * 0.3)) / 50
    loss = multi_similarity_loss(similarity, positive, negative)
    assert loss.item() == pytest.approx(anchor_0 / 3, rel=1e-6)


def test_loss_is_finite_and_zero_where_nothing_is_chosen():
    similarity = torch.full((4, 4), 1.0, requires_grad=True)
    nothing = torch.zeros(4, 4, dtype=torch.bool)
    loss = multi_similarity_loss(similarity, nothing, nothing)
    loss.backward()
    assert loss.item() == 0.0
    assert similarity.grad.abs().max().item() == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_equals_the_reference_head(seed):
    embeddings, labels = embeddings_and_labels(seed)
    loss = NormalisedSoftmaxLoss(classes=6, embedding_dim=16, temperature=0.05)
    reference = NormalizedSoftmaxLoss(num_classes=6, embedding_size=16, temperature=0.05)
    with torch.no_grad():
        reference.W.copy_(loss.weight.T)
    assert loss(embeddings, labels).item() == pytest.approx(reference(embeddings, labels).item(), rel=1e-5)


def test_label_smoothing_spreads_the_target():
    embeddings, labels = embeddings_and_labels(0, count=5)
    loss = NormalisedSoftmaxLoss(classes=6, embedding_dim=16, temperature=0.1, label_smoothing=0.3)
    weights = loss.weight.detach().numpy().astype(np.float64)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    cosines = embeddings.numpy().astype(np.float64) @ weights.T
    np.testing.assert_allclose(loss.cosines(embeddings).detach().numpy(), cosines, atol=1e-6)
    log_share = cosines / 0.1 - np.log(np.exp(cosines / 0.1).sum(axis=1, keepdims=True))
    target = np.full((5, 6), 0.3 / 6)
    target[np.arange(5), labels.numpy()] += 0.7
    assert loss(embeddings, labels).item() == pytest.approx(
        -(target * log_share).sum(axis=1).mean(), rel=1e-5
    )


def test_cross_entropy_by_hand():
    loss = NormalisedSoftmaxLoss(classes=2, embedding_dim=2, temperature=0.5)
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 7.0]]))  # lengths must not matter
    # Logits 0.6 / 0.5 and 0.8 / 0.5; the true class is the first.
    expected = -math.log(math.exp(1.2) / (math.exp(1.2) + math.exp(1.6)))
    assert loss(torch.tensor([[0.6, 0.8]]), torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)
