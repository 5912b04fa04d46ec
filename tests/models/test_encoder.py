"""The compact encoder: its size by layer, what it returns, its settings, and the form that is exported."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.model_spec import ModelSpec
from edgesim.models import zoo
from edgesim.models.cost import parameter_count
from edgesim.models.encoder import Encoder, EncoderConfig, embed_pixels, for_export
from edgesim.models.involution import ExportedInvolution, Involution
from edgesim.models.stages import Stage
from edgesim.preprocess import normalise

INVOLUTION = Stage(kind="involution", reduction=4)
BODY = (Stage(kind="conv", width=8, stride=2), Stage(kind="conv", width=12, stride=2))
SMALL: dict[str, Any] = {"input_size": 32, "patch": 2, "stages": (INVOLUTION, *BODY), "embedding_dim": 10}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "relu": {"activation": "relu"},
    "no involution": {"stages": BODY},
    "no patches": {"patch": 1, "stages": (Stage(kind="involution"), *BODY)},
    "patches of 4": {"patch": 4},
    "large kernel, groups": {"stages": (Stage(kind="involution", kernel=7, groups=4), *BODY)},
    "two involutions, one with a stride": {"stages": (INVOLUTION, *BODY, Stage(kind="involution", stride=2))},
    "residual": {
        "stages": (INVOLUTION, Stage(kind="residual", width=8, repeat=2), Stage(kind="residual", stride=2))
    },
    "bottleneck": {
        "stages": (
            Stage(kind="conv", width=8, kernel=7, stride=2),
            Stage(kind="max_pool", stride=2),
            Stage(kind="bottleneck", width=16, repeat=2),
            Stage(kind="bottleneck", width=20, stride=2),
        )
    },
}


def encoder(**settings: Any) -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderConfig(**{**SMALL, **settings})).eval()


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


def test_parameters_for_photographs_by_layer() -> None:
    involution = 12 * 3 + 2 * 3 + (3 + 1) * 9  # W0, BatchNorm, W1 with bias; 12 channels, 3 hidden, K = 3
    convolutions = 9 * (12 * 16 + 16 * 32 + 32 * 64 + 64 * 128) + 2 * (16 + 32 + 64 + 128)
    embedding = 128 * 128 + 128
    assert (involution, convolutions, embedding) == (78, 98_976, 16_512)
    assert parameter_count(Encoder(zoo.load_model("photo"))) == 115_566 == 78 + 98_976 + 16_512


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
    # Only a pre-activated block keeps BatchNorms: no convolution stands before them.
    norms = sum(isinstance(layer, nn.BatchNorm2d) for layer in exported.modules())
    assert norms == (3 if variant == "bottleneck" else 0)
    assert not exported.training
    kinds = [{type(layer) for layer in each.modules()} for each in (model, exported)]
    assert (Involution in kinds[0]) == (ExportedInvolution in kinds[1])
    assert Involution not in kinds[1]
    assert nn.PixelUnshuffle not in kinds[1]


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
    for name, parameter in model.named_parameters():
        if "involution.span" in name:
            nn.init.zeros_(parameter)
    without = encoder(stages=BODY)
    without.stages.load_state_dict(nn.Sequential(*list(model.stages)[1:]).state_dict())
    without.embedding.load_state_dict(model.embedding.state_dict())
    with torch.no_grad():
        assert torch.equal(model(images()), without(images()))


def test_the_activation_is_that_of_the_settings() -> None:
    kinds = {name: {type(layer) for layer in encoder(activation=name).modules()} for name in ("gelu", "relu")}
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
        ({"input_size": 100}, "input_size must be a multiple of patch * strides, 8, got 100"),
        ({"input_size": 0}, "input_size must be a multiple of patch * strides, 8, got 0"),
        ({"patch": 3}, "input_size must be a multiple of patch * strides, 12, got 32"),
        ({"patch": 0}, "patch must be at least 1, got 0"),
        ({"stages": ()}, "stages must hold one at least, got none"),
        ({"embedding_dim": 0}, "embedding_dim must be at least 1, got 0"),
        (
            {"stages": (Stage(kind="involution", groups=5),)},
            "groups must divide the involution's 12 channels, got 5",
        ),
        (
            {"stages": (*BODY, Stage(kind="involution", groups=8))},
            "groups must divide the involution's 12 channels, got 8",
        ),
        ({"activation": "swish"}, "activation must be gelu or relu, got 'swish'"),
    ],
)
def test_settings_that_do_not_fit_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        EncoderConfig(**{**SMALL, **settings})
    assert str(caught.value) == message


@pytest.mark.parametrize(("patch", "strides"), [(2, (2, 2)), (1, (1, 2)), (4, (1, 1)), (2, (4, 4))])
def test_the_features_are_as_small_as_patch_and_strides_say(patch: int, strides: tuple[int, int]) -> None:
    model = encoder(patch=patch, stages=tuple(Stage(kind="conv", width=12, stride=s) for s in strides))
    sizes: list[torch.Size] = []
    model.stages.register_forward_hook(lambda _module, _inputs, out: sizes.append(out.shape))
    with torch.no_grad():
        model(images(2))
    side = 32 // (patch * strides[0] * strides[1])
    assert sizes == [(2, 12, side, side)]
