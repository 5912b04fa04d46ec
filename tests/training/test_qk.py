"""The losses against every key: equal to the plain ones that hold all logits, and never holding them."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgesim.training.qk import FixedKeys, HeadKeys, key_head_step, nearest_key_loss

QUERIES, KEYS, DIM, FEATURES = 7, 23, 6, 9
IMAGES = 10  # where several keys are of one image


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def targets():
    return torch.randint(0, KEYS, (QUERIES,), generator=torch.Generator().manual_seed(2))


def plain_loss(queries, keys, targets, temperature, sources=None):
    """The same in float64, by all distances at once."""
    logits = -torch.cdist(queries.double(), keys.double()).square() / (2 * temperature)
    if sources is not None:
        for row, target in enumerate(targets.tolist()):
            for key in range(len(keys)):
                if key != target and sources[key] == sources[target]:
                    logits[row, key] = -torch.inf
    return functional.cross_entropy(logits, targets)


def plain_gradient(queries, keys, targets, temperature, sources=None):
    queries = queries.double().requires_grad_()
    loss = plain_loss(queries, keys, targets, temperature, sources)
    loss.backward()
    return loss.item(), queries.grad.float()


@pytest.mark.parametrize("chunk", [1, 5, 8, 23, 100])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_loss_and_gradient_equal_the_plain_ones(chunk, several, kind):
    # The queries are not of length 1.
    queries, table = drawn(QUERIES, DIM, seed=1) * 1.7, functional.normalize(drawn(KEYS, DIM), dim=1).to(kind)
    sources = torch.arange(KEYS) % IMAGES if several else None
    expected, gradient = plain_gradient(queries, table, targets(), 0.3, sources)
    ours = queries.clone().requires_grad_()
    loss = nearest_key_loss(ours, FixedKeys(table), targets(), temperature=0.3, sources=sources, chunk=chunk)
    (3 * loss).backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(ours.grad, 3 * gradient, rtol=1e-5, atol=1e-5)


def test_a_first_chunk_without_a_key_that_counts():
    # Keys 0 and 1 are other keys of the image whose key 4 is the query's own.
    sources, own = torch.tensor([0, 0, 1, 2, 0]), torch.tensor([4])
    queries, table = drawn(1, DIM, seed=1), drawn(5, DIM)
    expected, gradient = plain_gradient(queries, table, own, 0.5, sources)
    ours = queries.clone().requires_grad_()
    loss = nearest_key_loss(ours, FixedKeys(table), own, temperature=0.5, sources=sources, chunk=2)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(ours.grad, gradient, rtol=1e-5, atol=1e-5)


def test_two_keys_by_hand():
    # Distances squared 0 and 2: -log(1 / (1 + e^-2)) at T = 1/2; (p0 k0 + p1 k1 - k0) / T is the gradient.
    query = torch.tensor([[1.0, 0.0]], requires_grad=True)
    loss = nearest_key_loss(query, FixedKeys(torch.eye(2)), torch.tensor([0]), temperature=0.5)
    loss.backward()
    other = 1 / (1 + torch.e**2)
    assert loss.item() == pytest.approx(-torch.log(torch.tensor(1 - other)).item(), rel=1e-5)
    torch.testing.assert_close(query.grad, torch.tensor([[-2 * other, 2 * other]]))


@pytest.mark.parametrize("chunk", [1, 5, 23, 100])
@pytest.mark.parametrize("several", [False, True])
def test_the_heads_gradient_equals_plain_autograd(chunk, several):
    torch.manual_seed(4)
    head, features, queries = nn.Linear(FEATURES, DIM), drawn(KEYS, FEATURES), drawn(QUERIES, DIM, seed=1)
    sources = torch.arange(KEYS) % IMAGES if several else None
    keys = functional.normalize(head(features), dim=1)
    expected = plain_loss(queries, keys, targets(), 0.2, sources)
    gradients = torch.autograd.grad(expected, list(head.parameters()))

    ours = HeadKeys(head, features)
    watched = queries.clone().requires_grad_()
    loss = key_head_step(ours, watched, targets(), temperature=0.2, sources=sources, chunk=chunk)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert not loss.requires_grad
    assert watched.grad is None
    for parameter, gradient in zip(head.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        fixed = FixedKeys(ours.rows(slice(0, KEYS)))
    again = nearest_key_loss(queries, fixed, targets(), temperature=0.2, sources=sources, chunk=chunk)
    assert again.item() == pytest.approx(loss.item(), rel=1e-6)


def test_the_heads_gradient_is_added_to_what_is_there():
    torch.manual_seed(4)
    head = nn.Linear(FEATURES, DIM)
    keys, queries = HeadKeys(head, drawn(KEYS, FEATURES)), drawn(QUERIES, DIM, seed=1)
    key_head_step(keys, queries, targets(), temperature=0.2)
    once = head.weight.grad.clone()
    key_head_step(keys, queries, targets(), temperature=0.2)
    torch.testing.assert_close(head.weight.grad, 2 * once)


def test_a_heads_keys_are_of_length_1_and_fixed_in_16_bits():
    torch.manual_seed(4)
    head, features = nn.Linear(FEATURES, DIM), drawn(KEYS, FEATURES).to(torch.bfloat16)
    keys = HeadKeys(head, features)
    expected = functional.normalize(head(features.float()), dim=1)
    torch.testing.assert_close(keys.rows(slice(3, 8)), expected[3:8])
    fixed = keys.fixed(chunk=5)
    assert (len(keys), len(fixed), fixed.table.dtype) == (KEYS, KEYS, torch.bfloat16)
    chosen = torch.tensor([20, 1])
    assert torch.equal(fixed.rows(chosen), expected[chosen].to(torch.bfloat16).float())


@pytest.mark.parametrize("temperature", [1e-6, 1e6])
def test_extreme_temperatures_do_not_overflow(temperature):
    queries = functional.normalize(drawn(QUERIES, DIM, seed=1), dim=1)
    table = functional.normalize(drawn(KEYS, DIM), dim=1)
    expected, _ = plain_gradient(queries, table, targets(), temperature)
    ours = queries.clone().requires_grad_()
    loss = nearest_key_loss(ours, FixedKeys(table), targets(), temperature=temperature, chunk=5)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert ours.grad.isfinite().all()
    torch.manual_seed(4)
    head = nn.Linear(FEATURES, DIM)
    assert key_head_step(
        HeadKeys(head, drawn(KEYS, FEATURES)), queries, targets(), temperature=temperature, chunk=5
    ).isfinite()
    assert head.weight.grad.isfinite().all()


class Watched(HeadKeys):
    """Remembers how many keys were asked for at a time."""

    def __init__(self, head, features):
        super().__init__(head, features)
        self.asked = []

    def rows(self, chosen):
        found = super().rows(chosen) if isinstance(chosen, slice) else self.features[chosen][:, :DIM]
        self.asked.append(len(found))
        return found


def test_no_more_than_a_chunk_of_keys_is_held(monkeypatch):
    largest = []
    exp, exp_ = torch.exp, torch.Tensor.exp_
    monkeypatch.setattr(torch, "exp", lambda x: (largest.append(x.numel()), exp(x))[1])
    monkeypatch.setattr(torch.Tensor, "exp_", lambda x: (largest.append(x.numel()), exp_(x))[1])
    torch.manual_seed(4)
    keys, queries = Watched(nn.Linear(FEATURES, DIM), drawn(1000, FEATURES)), drawn(QUERIES, DIM, seed=1)
    nearest_key_loss(queries, keys, targets(), temperature=0.2, chunk=64)
    key_head_step(keys, queries, targets(), temperature=0.2, chunk=64)
    # One pass in the first, two in the second, and the queries' own keys once.
    assert sorted(keys.asked) == [QUERIES, *[1000 % 64] * 3, *[64] * (3 * (1000 // 64))]
    assert max(largest) == QUERIES * 64
