"""Encoders on disk: equal after a round trip; damage, foreign files and hidden code are refused."""

import os
import pickle
import random
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from edgesim.errors import BundleError
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, EncoderConfig
from edgesim.models.stages import Stage
from edgesim.training.checkpoint import (
    ENCODER_FILE,
    FORMAT_VERSION,
    load_encoder,
    load_torch,
    save_encoder,
    save_torch,
    weights_sha256,
)

SPEC = ModelSpec(name="tiny", input_size=16, embedding_dim=6)
CONFIG = EncoderConfig(
    input_size=16,
    embedding_dim=6,
    stages=(
        Stage(kind="involution"),
        Stage(kind="conv", width=4, stride=2),
        Stage(kind="conv", width=5, stride=2),
    ),
)


def tiny_encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    encoder = Encoder(CONFIG)
    encoder(torch.randn(4, 3, 16, 16))  # moves BatchNorm's statistics off their start
    return encoder


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_encoder(path)
    return str(caught.value)


def test_round_trip(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    save_encoder(tmp_path / ENCODER_FILE, encoder, SPEC)
    images = torch.randn(2, 3, 16, 16)
    for path in (tmp_path / ENCODER_FILE, tmp_path):  # the file, or the run that holds it
        loaded, spec = load_encoder(path)
        assert spec == SPEC
        assert loaded.config == CONFIG
        assert not loaded.training
        assert weights_sha256(loaded) == weights_sha256(encoder)
        assert torch.equal(loaded(images), encoder.eval()(images))


def test_a_second_save_replaces_the_first(tmp_path: Path) -> None:
    for seed in (1, 2):
        save_encoder(tmp_path / ENCODER_FILE, tiny_encoder(seed), SPEC)
    assert weights_sha256(load_encoder(tmp_path)[0]) == weights_sha256(tiny_encoder(2))
    assert [path.name for path in tmp_path.iterdir()] == [ENCODER_FILE]


class MakesAFolder:
    """A pickle of this runs `os.mkdir` when it is loaded without care."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("archive", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, archive: bool) -> None:
    path, proof = tmp_path / "evil.pt", tmp_path / "was-run"
    content = {"format_version": FORMAT_VERSION, "weights": MakesAFolder(proof)}
    if archive:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    assert refusal(path) == f"{path}: not a checkpoint of edgesim, or damaged"
    assert not proof.exists()
    if archive:  # the trap itself works
        torch.load(path, weights_only=False)
        assert proof.exists()


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "none.pt"
    assert refusal(path) == f"{path}: no such checkpoint; make one with: edgesim train"


def test_a_folder_without_an_encoder(tmp_path: Path) -> None:
    expected = f"{tmp_path / ENCODER_FILE}: no such checkpoint; make one with: edgesim train"
    assert refusal(tmp_path) == expected


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_a_foreign_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    assert refusal(path) == f"{path}: not a checkpoint of edgesim, or damaged"


def test_a_zip_archive_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "foreign.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert refusal(path) == f"{path}: not a checkpoint of edgesim, or damaged"


@pytest.mark.parametrize("content", [torch.zeros(3), {"weights": {}}, {"format_version": FORMAT_VERSION + 1}])
def test_another_format(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    assert refusal(path) == f"{path}: not a checkpoint of format 2; train it again"


@pytest.mark.parametrize("key", ["config", "weights", "spec"])
def test_a_checkpoint_that_lacks_a_part(tmp_path: Path, key: str) -> None:
    path = tmp_path / ENCODER_FILE
    save_encoder(path, tiny_encoder(), SPEC)
    content = load_torch(path)
    del content[key]
    save_torch(path, content)
    assert refusal(path) == f"{path}: not an encoder checkpoint, or damaged"


@pytest.mark.parametrize(
    "change",
    [{"stages": [{"kind": "conv"}]}, {"stages": [{"kind": "conv", "colour": 1}]}, {"activation": "swish"}],
)
def test_settings_that_do_not_fit_the_weights(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / ENCODER_FILE
    save_encoder(path, tiny_encoder(), SPEC)
    content = load_torch(path)
    content["config"] |= change
    save_torch(path, content)
    assert refusal(path) == f"{path}: not an encoder checkpoint, or damaged"


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / ENCODER_FILE
    save_encoder(path, tiny_encoder(), SPEC)
    whole = path.read_bytes()
    for length in range(0, len(whole), 997):
        path.write_bytes(whole[:length])
        assert refusal(path) == f"{path}: not a checkpoint of edgesim, or damaged"


def test_no_changed_bit_is_taken_for_a_weight(tmp_path: Path) -> None:
    """torch reads changed tensors without complaint; only padding between the parts may change unnoticed."""
    encoder = tiny_encoder()
    path = tmp_path / ENCODER_FILE
    save_encoder(path, encoder, SPEC)
    whole = path.read_bytes()
    messages = []
    for seed in range(300):
        chance = random.Random(seed)
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                loaded, spec = load_encoder(path)
            except BundleError as error:
                messages.append(str(error))
            else:
                assert weights_sha256(loaded) == weights_sha256(encoder)
                assert (loaded.config, spec) == (CONFIG, SPEC)
    assert len(messages) > 150
    assert set(messages) == {f"{path}: not a checkpoint of edgesim, or damaged"}


def test_a_changed_weight_is_refused(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    path = tmp_path / ENCODER_FILE
    save_encoder(path, encoder, SPEC)
    whole = path.read_bytes()
    weights = encoder.embedding.weight.detach().numpy().tobytes()
    assert whole.count(weights) == 1
    path.write_bytes(whole.replace(weights, weights[:-1] + bytes([weights[-1] ^ 1])))
    assert refusal(path) == f"{path}: not a checkpoint of edgesim, or damaged"


def test_the_digest_changes_with_every_weight_and_statistic() -> None:
    encoder = tiny_encoder()
    digests = {weights_sha256(encoder)}
    for values in encoder.state_dict().values():
        values.view(-1)[-1] += 1
        digests.add(weights_sha256(encoder))
    assert len(digests) == 1 + len(encoder.state_dict())


def test_the_digest_does_not_depend_on_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_encoder()
    expected = weights_sha256(encoder)
    reverse = dict(reversed(encoder.state_dict().items()))
    monkeypatch.setattr(encoder, "state_dict", lambda: reverse)
    assert weights_sha256(encoder) == expected


def test_the_digest_sees_which_name_a_weight_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_encoder()
    expected = weights_sha256(encoder)
    names, values = zip(*sorted(encoder.state_dict().items()), strict=True)
    renamed = dict(zip((f"{name}x" for name in names), values, strict=True))
    monkeypatch.setattr(encoder, "state_dict", lambda: renamed)
    assert weights_sha256(encoder) != expected
