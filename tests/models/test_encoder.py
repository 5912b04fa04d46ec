"""The compact encoder: its size by layer, what it returns, its settings, and the form that is exported."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import CompactEncoder, EncoderConfig, embed_pixels, for_export, parameter_count
from edgesim.preprocess import normalise

SMALL = {"input_size": 32, "widths": (8, 12), "strides": (2, 2), "embedding_dim": 10}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "relu": {"activation": "relu"},
    "no involution": {"involution_kernel": 0},
    "no patches": {"patch": 1, "involution_reduction": 1},
    "patches of 4": {"patch": 4},
    "large kernel, groups": {"involution_kernel": 7, "involution_groups": 4},
}


def encoder(**settings: Any) -> CompactEncoder:
    torch.manual_seed(0)
    return CompactEncoder(EncoderConfig(**{**SMALL, **settings})).eval()


def randomise_statistics(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.copy_(torch.randn(layer.running_mean.shape, generator=generator))
            layer.running_var.copy_(torch.rand(layer.running_var.shape, generator=generator) + 0.5)
            with torch.no_grad():
                layer.weight.copy_(torch.rand(layer.weight.shape, generator=generator) + 0.5)
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))


def images(count: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2))


def test_parameters_of_the_default_by_layer() -> None:
    involution = 12 * 3 + 2 * 3 + (3 + 1) * 9  # W0, BatchNorm, W1 with bias; 12 channels, 3 hidden, K = 3
    convolutions = 9 * (12 * 16 + 16 * 32 + 32 * 64 + 64 * 128) + 2 * (16 + 32 + 64 + 128)
    embedding = 128 * 128 + 128
    assert (involution, convolutions, embedding) == (78, 98_976, 16_512)
    assert parameter_count(CompactEncoder(EncoderConfig())) == 115_566 == 78 + 98_976 + 16_512


def test_frozen_parameters_are_not_counted() -> None:
    model = encoder()
    model.embedding.requires_grad_(False)
    assert parameter_count(encoder()) - parameter_count(model) == 12 * 10 + 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_embeddings_are_of_unit_length_and_along_the_raw_ones(variant: str) -> None:
    model = encoder(**VARIANTS[variant])
    with torch.no_grad():
        raw, unit = model(images()), model.embed(images())
    assert raw.shape == unit.shape == (3, 10)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(unit * raw.norm(dim=1, keepdim=True), raw)
    assert (unit[0] - unit[1]).abs().max() > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_exported_form_computes_the_same(variant: str) -> None:
    model = encoder(**VARIANTS[variant])
    randomise_statistics(model)
    exported = for_export(model)
    with torch.no_grad():
        torch.testing.assert_close(exported(images()), model(images()), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in exported.modules())
    assert not exported.training
    if exported.involution is not None:
        assert exported.involution.exportable
        assert model.involution is not None
        assert not model.involution.exportable


def test_exporting_leaves_the_model_as_it_was_and_can_be_repeated() -> None:
    model = encoder().train()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    exported = for_export(model)
    twice = for_export(exported)
    assert model.training
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(twice(images()), exported(images()))


def test_the_involution_is_added_to_its_input() -> None:
    model = encoder()
    assert model.involution is not None
    for parameter in model.involution.span.parameters():
        nn.init.zeros_(parameter)
    without = encoder(involution_kernel=0)
    without.load_state_dict(
        {name: values for name, values in model.state_dict().items() if not name.startswith("involution")}
    )
    with torch.no_grad():
        assert torch.equal(model(images()), without(images()))


def test_the_activation_is_that_of_the_settings() -> None:
    kinds = {
        name: {type(layer) for layer in encoder(activation=name).convolutions} for name in ("gelu", "relu")
    }
    assert nn.GELU in kinds["gelu"]
    assert nn.ReLU not in kinds["gelu"]
    assert nn.ReLU in kinds["relu"]
    assert nn.GELU not in kinds["relu"]


def test_batches_do_not_change_the_embeddings() -> None:
    model = encoder()
    spec = ModelSpec(name="e", input_size=32, embedding_dim=model.config.embedding_dim)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    with torch.no_grad():
        expected = model.embed(torch.from_numpy(normalise(pixels, spec)).permute(0, 3, 1, 2))
    batched = embed_pixels(model, spec, pixels, batch_size=3)
    assert isinstance(batched, np.ndarray)  # so that no gradient hangs on it
    np.testing.assert_allclose(batched, expected.numpy(), rtol=1.3e-6, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_settings_round_trip_through_json(variant: str) -> None:
    config = EncoderConfig(**{**SMALL, **VARIANTS[variant]})
    assert EncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_size": 100}, "input_size must be a multiple of patch * strides, 16, got 100"),
        ({"input_size": 0}, "input_size must be a multiple of patch * strides, 16, got 0"),
        ({"patch": 3}, "input_size must be a multiple of patch * strides, 24, got 128"),
        ({"patch": 0}, "patch must be at least 1, got 0"),
        ({"strides": (2, 0, 2, 1)}, "strides must be at least 1, got (2, 0, 2, 1)"),
        ({"widths": (16, -1, 8, 8)}, "widths must be at least 1, got (16, -1, 8, 8)"),
        ({"embedding_dim": 0}, "embedding_dim must be at least 1, got 0"),
        ({"involution_reduction": 0}, "involution_reduction must be at least 1, got 0"),
        ({"strides": (2, 2)}, "widths and strides must be equally many, got (16, 32, 64, 128) and (2, 2)"),
        ({"widths": (), "strides": ()}, "widths and strides must be equally many, got () and ()"),
        ({"involution_kernel": 4}, "involution_kernel must be odd, or 0 for none, got 4"),
        ({"involution_kernel": -3}, "involution_kernel must be odd, or 0 for none, got -3"),
        ({"involution_groups": 5}, "involution_groups must divide the 12 channels, 3 * patch**2, got 5"),
        ({"activation": "swish"}, "activation must be gelu or relu, got 'swish'"),
    ],
)
def test_settings_that_do_not_fit_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        EncoderConfig(**settings)
    assert str(caught.value) == message


@pytest.mark.parametrize(("patch", "strides"), [(2, (2, 2)), (1, (1, 2)), (4, (1, 1)), (2, (4, 4))])
def test_the_features_are_as_small_as_patch_and_strides_say(patch: int, strides: tuple[int, int]) -> None:
    model = encoder(patch=patch, strides=strides, involution_reduction=1)
    sizes: list[torch.Size] = []
    model.convolutions.register_forward_hook(lambda _module, _inputs, out: sizes.append(out.shape))
    with torch.no_grad():
        model(images(2))
    side = 32 // (patch * strides[0] * strides[1])
    assert sizes == [(2, 12, side, side)]
