"""Two processes train as one does: the same weights, and one of them writes. Real processes, over Gloo."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from edgesim.cli.main import main
from edgesim.errors import UsageError
from edgesim.training.checkpoint import load_torch
from edgesim.training.config import TrainingConfig
from edgesim.training.distributed import check_batch, share
from edgesim.training.metric_learning import train

# Without BatchNorm, which sees one share only, and without augmentation, whose chance is each process's own.
CONFIG = """
epochs = 3
batch_size = 16
views = 4
optimizer = "sgd"
learning_rate = 0.2
warmup_epochs = 0
temperature = 0.1
distillation_share = 0.5

[encoder]
input_size = 16
patch = 2
embedding_dim = 8
stages = [{ kind = "max_pool", stride = 2 }]

[augment]
crop_area_min = 1.0
rotation_share = 0.0
flip_share = 0.0
paste_share = 0.0
overlay_share = 0.0
colour = 0.0
grey_share = 0.0
blur_share = 0.0
jpeg_share = 0.0
noise_share = 0.0
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `data`, 4 classes of 10 pictures, with `small.toml` and a run `teacher`."""
    folder = tmp_path_factory.mktemp("distributed")
    rng = np.random.default_rng(0)
    for name in "abcd":
        (folder / "data" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "data" / name / f"{i}.png")
    (folder / "small.toml").write_text(CONFIG)
    assert main([*arguments(folder, "teacher", "ce"), "--seed", "1"]) == 0
    return folder


def arguments(place, run, loss):
    settings = ["--config", str(place / "small.toml"), "--loss", loss, "--name", "small", "--device", "cpu"]
    teacher = ["--teacher", str(place / "teacher")] if run.startswith("taught") else []
    return ["train", "--data", str(place / "data"), "--out", str(place / run), *settings, *teacher]


def in_two_processes(commands):
    """Run edgesim's commands one after the other in two processes, which torchrun starts and connects."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = "import json, sys; from edgesim.cli.main import main; list(map(main, json.loads(sys.argv[1])))"
    process = [sys.executable, "-c", program, json.dumps(commands)]
    return subprocess.Popen([*launcher, "--no-python", *process], stderr=subprocess.PIPE, text=True)


def test_two_processes_end_with_the_weights_of_one(place):
    runs = {"plain": "ms", "taught": "ce"}
    two = in_two_processes([arguments(place, f"{run}-two", loss) for run, loss in runs.items()])
    for run, loss in runs.items():
        assert main(arguments(place, f"{run}-one", loss)) == 0
    _, errors = two.communicate(timeout=60)
    assert two.returncode == 0, errors
    for run in runs:
        one, both = (load_torch(place / f"{run}-{count}" / "checkpoint.pt") for count in ("one", "two"))
        assert both["step"] == 6
        for part in ("encoder", "average", "loss"):
            for name, value in one[part].items():
                torch.testing.assert_close(both[part][name], value, rtol=0, atol=1e-5)
        log = (place / f"{run}-two" / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3]  # one process writes
        metrics = [(place / f"{run}-{count}" / "metrics.json").read_text() for count in ("one", "two")]
        assert metrics[0] == metrics[1]


def test_every_process_has_its_own_rows(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(share(torch.arange(12)).tolist())
    assert shares == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


def test_batches_that_do_not_divide_are_refused(monkeypatch):
    check_batch(7)
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_batch(8)
    message = "2 processes need batches that divide by 2, got 7 views; change batch_size, or --nproc-per-node"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        check_batch(7)


def test_fine_tuning_in_several_processes_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"^fine-tuning runs in one process; start it without torchrun$"):
        train(TrainingConfig(), None, None, tmp_path, "cpu", after_epoch=lambda _: False)
