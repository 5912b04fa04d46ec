"""Settings: presets load, survive a round trip, and refuse what they do not know, with exact messages."""

import re

import pytest

from edgesim.errors import UsageError
from edgesim.models.encoder import CompactEncoder, parameter_count
from edgesim.training.config import TrainingConfig, load_config, preset_path


@pytest.mark.parametrize("data", ["mnist", "fashion_mnist", "cifar10", "photos"])
def test_presets_load_and_survive_a_round_trip(data, tmp_path):
    config = load_config(preset_path(data), data=data, seed=7)
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert load_config(path) == config
    assert config.seed == 7
    assert 0.11e6 < parameter_count(CompactEncoder(config.encoder)) <= 0.117e6


def test_any_other_data_takes_the_preset_for_photographs():
    assert preset_path("parts/").name == "photos.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("[encoder]\nwidth = [1]", "unknown key 'width'; did you mean 'widths'?"),
        ("epochs = 1.5", "epochs: expected a whole number, got 1.5"),
        ("[augment]\ncolour = 'red'", "augment: colour: expected a number, got 'red'"),
        ("loss = 'triplet'", "loss: unknown value 'triplet'; known: ce, ms"),
        ("batch_size = 10\nviews = 3", "views must be at least 2 and divide batch_size=10, got 3"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(message) + "$"):
        load_config(path)


def test_no_such_file_and_not_toml(tmp_path):
    with pytest.raises(UsageError, match=r"none.toml: cannot be read \(No such file or directory\)"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs = ")
    with pytest.raises(UsageError, match=r"bad\.toml: not TOML"):
        load_config(tmp_path / "bad.toml")


def test_names_with_quotes_survive(tmp_path):
    config = TrainingConfig(name='a "quoted" \\ name', data="x")
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert load_config(path).name == 'a "quoted" \\ name'
