"""What a run says about itself, and that a damaged record says nothing instead of ending the export."""

import pytest

from edgesim.model_spec import ModelSpec
from edgesim_export.model_card import model_card
from edgesim_export.run_records import run_config, run_metrics


def test_records_are_read(tmp_path):
    (tmp_path / "config.toml").write_text('data = "parts"\nepochs = 3\n')
    (tmp_path / "metrics.json").write_text('{"precision_at_1": 0.5}')
    assert run_config(tmp_path) == {"data": "parts", "epochs": 3}
    assert run_metrics(tmp_path) == {"precision_at_1": 0.5}


@pytest.mark.parametrize("content", [None, b"x = = {", b"\xff\xfe", b"[1, 2]"])
def test_missing_and_damaged_records_say_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "config.toml").write_bytes(content)
        (tmp_path / "metrics.json").write_bytes(content)
    assert run_config(tmp_path) == {}
    assert run_metrics(tmp_path) == {}
    card = model_card(tmp_path, ModelSpec(name="e", input_size=32, embedding_dim=8), "0" * 16, 5, [])
    assert "- Trained on: not recorded\n" in card
    assert "- Measured after training, on held-out images: not recorded\n" in card
