"""A first embedding: the components of scikit-learn's PCA, their spread, and what too few images leave."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig
from edgesim.models.stages import Stage
from edgesim.preprocess import normalise
from edgesim.training import whitening
from edgesim.training.whitening import backbone_features, principal_components, principal_embedding

CPU = torch.device("cpu")
SPEC = ModelSpec(name="small", input_size=8, embedding_dim=3)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def features(count, width=7):
    """Correlated features of different spread, far from 0."""
    rng = np.random.default_rng(0)
    mixed = (
        rng.standard_normal((count, width)) * 2.0 ** np.arange(width) @ rng.standard_normal((width, width))
    )
    return torch.from_numpy(mixed + 5).float()


def encoder():
    torch.manual_seed(0)
    stages = (Stage(kind="conv", width=6, stride=2), Stage(kind="conv", width=6, stride=2))
    return Encoder(EncoderConfig(input_size=8, embedding_dim=3, stages=stages))


def pixels(count):
    return np.random.default_rng(1).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_components_are_those_of_the_reference_half_whitened(count):
    given = features(200)
    reference = PCA(count).fit(given.double().numpy())
    expected = reference.transform(given.double().numpy()) / reference.singular_values_**0.5 * 200**0.25
    weight, bias = principal_components(given, count)
    got = (given @ weight.T + bias).numpy()
    signs = np.sign((got * expected).sum(axis=0))
    np.testing.assert_allclose(got, signs * expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_the_variance_of_a_component_is_its_standard_deviation_before():
    given = features(200)
    weight, bias = principal_components(given, 5)
    deviations = (given @ (weight / weight.norm(dim=1, keepdim=True)).T).std(dim=0, correction=0)
    embedded = given @ weight.T + bias
    torch.testing.assert_close(embedded.mean(dim=0), torch.zeros(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(embedded.var(dim=0, correction=0), deviations, rtol=1e-3, atol=0)
    covariance = torch.cov(embedded.T, correction=0)
    torch.testing.assert_close(covariance, covariance.diag().diag(), atol=1e-2, rtol=0)


@pytest.mark.parametrize("count", [2, 4])
def test_fewer_images_than_components_leave_zeros(count):
    """N images have N - 1 components; the last is nothing but rounding, which must not be blown up."""
    weight, bias = principal_components(features(count), 6)
    assert (weight.shape, bias.shape) == ((6, 7), (6,))
    there = weight.norm(dim=1) > 0
    assert there.tolist() == [True] * (count - 1) + [False] * (7 - count)
    assert bias[~there].abs().max() == 0
    # What is there still measures what tells the images apart.
    expected = PCA(count - 1).fit_transform(features(count).numpy())
    length = weight[: count - 1].norm(dim=1)
    got = (features(count) @ weight.T + bias)[:, : count - 1] / length
    np.testing.assert_allclose(got.abs().numpy(), np.abs(expected), rtol=1e-3, atol=1e-2)


def test_more_components_than_features_leave_zeros():
    weight, _ = principal_components(features(200), 9)
    assert (weight.norm(dim=1) > 0).tolist() == [True] * 7 + [False] * 2


@pytest.mark.parametrize("images", [1, 20])
def test_equal_features_have_no_components(images):
    weight, bias = principal_components(torch.full((images, 7), 3.0), 4)
    assert weight.abs().max() == bias.abs().max() == 0


@torch.no_grad()
def test_features_are_what_the_embedding_gets():
    model, images = encoder(), pixels(300)
    got = backbone_features(model.train(), SPEC, images, CPU, "float32")
    batch = torch.from_numpy(normalise(images, SPEC)).permute(0, 3, 1, 2)
    seen = []
    model.embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.eval()(batch)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), seen[0], rtol=2**-7, atol=1e-6)


@torch.no_grad()
def test_the_embedding_gets_the_components_of_images_spread_over_the_set(monkeypatch):
    monkeypatch.setattr(whitening, "IMAGES", 5)
    model, images = encoder(), pixels(9)
    body = [value.clone() for name, value in model.state_dict().items() if "embedding" not in name]
    principal_embedding(model, SPEC, images, CPU, "float32")
    chosen = backbone_features(model, SPEC, images[[0, 2, 4, 6, 8]], CPU, "float32").float()
    weight, bias = principal_components(chosen, 3)
    assert torch.equal(model.embedding.weight, nn.Parameter(weight))
    assert torch.equal(model.embedding.bias, nn.Parameter(bias))
    after = [value for name, value in model.state_dict().items() if "embedding" not in name]
    assert all(torch.equal(a, b) for a, b in zip(body, after, strict=True))
