"""Settings: presets load, survive a round trip, and refuse what they do not know, with exact messages."""

import dataclasses
import re

import pytest

from edgesim.errors import UsageError
from edgesim.models.encoder import EncoderConfig
from edgesim.models.stages import Stage
from edgesim.models.zoo import DEFAULT_MODEL, load_model
from edgesim.training.config import TrainingConfig, load_config, preset_path
from edgesim.training.copy_augment import CopyAugmentConfig
from edgesim.training.qk_iteration import QKConfig


@pytest.mark.parametrize("data", ["mnist", "fashion_mnist", "cifar10", "photos", "fine_tune", "copies", "qk"])
def test_presets_load_and_survive_a_round_trip(data, tmp_path):
    config = load_config(preset_path(data), data=data, seed=7)
    assert round_trip(config, tmp_path) == config
    assert config.seed == 7


def round_trip(config, folder):
    path = folder / "config.toml"
    path.write_text(config.to_toml())
    return load_config(path)


def test_stages_survive_a_round_trip_and_say_only_what_is_not_the_default(tmp_path):
    encoder = EncoderConfig(
        input_size=16,
        embedding_dim=8,
        activation="relu",
        stages=(Stage(kind="involution", kernel=5), Stage(kind="conv", width=8, stride=2, repeat=3)),
    )
    config = TrainingConfig(encoder=encoder)
    assert round_trip(config, tmp_path) == config
    line = (
        'stages = [{ kind = "involution", kernel = 5 }, { kind = "conv", width = 8, stride = 2, repeat = 3 }]'
    )
    assert line in config.to_toml().splitlines()


def test_keys_copies_and_booleans_survive_a_round_trip(tmp_path):
    config = TrainingConfig(
        loss="qk",
        positives="views",
        views=1,
        compile=True,
        augmentation="copies",
        copies=CopyAugmentConfig(depth_min=2, crop=0.5, emoji=0.0),
        qk=QKConfig(keys="both", teacher_negatives=False, key_learning_rate=3e-5, crops=2),
        teacher="runs/a",
    )
    assert round_trip(config, tmp_path) == config
    lines = config.to_toml().splitlines()
    for line in ("compile = true", "[copies]", "emoji = 0.0", "[qk]", "teacher_negatives = false"):
        assert line in lines


def test_one_view_of_an_image_is_enough_for_keys_only():
    assert TrainingConfig(loss="qk", positives="views", views=1).views == 1
    with pytest.raises(UsageError, match=r"^views must be at least 2 and divide batch_size=256, got 1$"):
        TrainingConfig(loss="ms", positives="views", views=1)


def test_an_encoder_may_be_named_and_changed(tmp_path):
    path = tmp_path / "named.toml"
    path.write_text('[encoder]\nmodel = "hybrid"\ninput_size = 64\n')
    config = load_config(path)
    assert config.encoder == dataclasses.replace(load_model("hybrid"), input_size=64)
    assert round_trip(config, tmp_path) == config  # the run's record needs no file of another version


def test_without_words_about_the_encoder_it_is_the_default_model(tmp_path):
    path = tmp_path / "silent.toml"
    path.write_text("epochs = 1\n")
    assert load_config(path).encoder == TrainingConfig().encoder == load_model(DEFAULT_MODEL)


def test_any_other_data_takes_the_preset_for_photographs():
    assert preset_path("parts/").name == "photos.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("[encoder]\nstage = []", "wrong.toml: encoder: unknown key 'stage'; did you mean 'stages'?"),
        ("[encoder]\nmodel = 'hybird'", "unknown model 'hybird'; did you mean 'hybrid'?"),
        ("encoder = 3", "wrong.toml: encoder: expected a table, got 3"),
        (
            "[encoder]\ninput_size = 8\nstages = [{kind = 'conv', width = 4}, {kind = 'conv', wide = 4}]",
            "wrong.toml: encoder: stages[1]: unknown key 'wide'; did you mean 'width'?",
        ),
        ("[augment]\ncutout_pixels = -1", "augment: cutout_pixels must be 0 or more, got -1"),
        ("optimizer = 'adam'", "optimizer: unknown value 'adam'; did you mean 'adamw'?"),
        ("precision = 'float16'", "precision: unknown value 'float16'; did you mean 'bfloat16'?"),
        ("temperature = 0.0", "temperature must be above 0, got 0.0"),
        ("label_smoothing = 1.5", "label_smoothing must be between 0 and 1, got 1.5"),
        ("distillation_share = -0.5", "distillation_share must be between 0 and 1, got -0.5"),
        ("teacher = 'runs/a'", "a teacher needs loss = ce or qk, got ms; set loss, or leave teacher out"),
        ("loss = 'qk'", "loss = qk needs positives = views, got class; set positives = views"),
        ("compile = 1", "wrong.toml: compile: expected true or false, got 1"),
        ("augmentation = 'copy'", "augmentation: unknown value 'copy'; did you mean 'copies'?"),
        ("[copies]\ncrops = 2.0", "wrong.toml: copies: unknown key 'crops'; did you mean 'crop'?"),
        ("[copies]\nmild_share = 2", "wrong.toml: copies: mild_share must be between 0 and 1, got 2.0"),
        ("[qk]\nkeys = 'all'", "wrong.toml: qk: keys must be one of own, teacher, both, got 'all'"),
        ("[qk]\nkey_step = 3", "wrong.toml: qk: unknown key 'key_step'; did you mean 'key_steps'?"),
        (
            "loss = 'qk'\npositives = 'views'\nbatch_size = 10\nviews = 0",
            "views must be at least 1 and divide batch_size=10, got 0",
        ),
        ("epochs = 1.5", "epochs: expected a whole number, got 1.5"),
        ("[augment]\ncolour = 'red'", "augment: colour: expected a number, got 'red'"),
        ("loss = 'triplet'", "loss: unknown value 'triplet'; known: ce, ms, qk"),
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
    assert round_trip(config, tmp_path).name == 'a "quoted" \\ name'
