"""The architectures that ship: what each file says about itself holds, and settings can build on them."""

import re
from pathlib import Path

import pytest

from edgesim.errors import UsageError
from edgesim.models import zoo
from edgesim.models.cost import parameter_count
from edgesim.models.encoder import Encoder
from edgesim.models.stages import Stage

INVOLUTION = Stage(kind="involution")
INNER = Stage(kind="involution", reduction=4)
CONVOLUTIONS = (
    Stage(kind="conv", width=24, stride=2),
    Stage(kind="conv", width=32),
    Stage(kind="conv", width=64, stride=2),
    Stage(kind="conv", width=128, stride=2),
)


def test_the_ablations_differ_from_the_hybrid_in_one_thing() -> None:
    expected = {
        "convolution": CONVOLUTIONS,
        "hybrid": (INVOLUTION, *CONVOLUTIONS),
        "hybrid_relu": (INVOLUTION, *CONVOLUTIONS),
        "hybrid_2": (INVOLUTION, CONVOLUTIONS[0], INNER, *CONVOLUTIONS[1:]),
        "hybrid_3": (INVOLUTION, CONVOLUTIONS[0], INNER, CONVOLUTIONS[1], INNER, *CONVOLUTIONS[2:]),
        **{
            f"involution_after_{place}": (*CONVOLUTIONS[:place], INNER, *CONVOLUTIONS[place:])
            for place in (1, 2, 3, 4)
        },
    }
    for name, stages in expected.items():
        config = zoo.load_model(name)
        assert config.stages == stages, name
        assert (config.input_size, config.patch, config.embedding_dim) == (32, 1, 128), name
        assert config.activation == ("relu" if name == "hybrid_relu" else "gelu"), name


def test_involution_only_mixes_pixels_by_involutions_only() -> None:
    config = zoo.load_model("involution")
    assert {stage.kernel for stage in config.stages if stage.kind == "conv"} == {1}
    assert sum(stage.kind == "involution" for stage in config.stages) == 5


def test_resnet50v2_has_the_parameters_of_the_published_one() -> None:
    # Keras' ResNet50V2 has 23,519,360 trainable ones without its classes. Here the first convolution has a
    # BatchNorm (128) instead of a bias (64), and none follows the last block (4,096).
    count = parameter_count(Encoder(zoo.load_model("resnet50v2")))
    assert count - (2048 * 128 + 128) == 23_519_360 + 128 - 64 - 4_096


@pytest.mark.parametrize("name", ["hybrid", "residual", "photo"])
def test_the_encoders_that_are_used_keep_the_papers_size(name: str) -> None:
    assert 0.115e6 < parameter_count(Encoder(zoo.load_model(name))) <= 0.117e6


def test_settings_name_a_model_and_override_it() -> None:
    values = zoo.encoder_values({"model": "hybrid", "input_size": 64}, "file: encoder")
    assert values["input_size"] == 64
    assert values["embedding_dim"] == 128
    assert "model" not in values
    assert zoo.encoder_values({"stages": []}, "file: encoder") == {"stages": []}
    assert zoo.encoder_values({}, "file: encoder")["input_size"] == zoo.load_model("photo").input_size


def test_a_model_of_ones_own_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('input_size = 16\nstages = [{ kind = "conv", width = 4, stride = 2 }]\n')
    config = zoo.load_model(str(file))
    assert config.stages == (Stage(kind="conv", width=4, stride=2),)
    assert zoo.encoder_values({"model": str(file)}, "x")["input_size"] == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'input_size = 16\nstages = [{ kind = "conv", wdith = 4 }]',
            "{file}: stages[0]: unknown key 'wdith'; did you mean 'width'?",
        ),
        ("input_size = 16\nstages = [4]", "{file}: stages[0]: expected a table, got 4"),
        ("input_size = 16\nstages = 4", "{file}: stages: expected a list of tables, got 4"),
        (
            'input_size = 16\nstages = [{ kind = "conv", kernel = 2 }]',
            "{file}: stages[0]: kernel must be odd, got 2",
        ),
        ('stages = [{ kind = "conv" }]', "{file}: lacks the key 'input_size'"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=f"^{re.escape(message.format(file=file))}"):
        zoo.load_model(str(file))


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^unknown model 'hybird'; did you mean 'hybrid'\?"):
        zoo.load_model("hybird")
    with pytest.raises(UsageError, match=r"^file: encoder: model: expected a text, got 3$"):
        zoo.encoder_values({"model": 3}, "file: encoder")
