"""What the parts of the compact encoder are worth: architectures, losses, seeds, all trained alike.

    python bench/bench_compact_study.py ROOT RUNS [--images 10000] [--epochs 6] [--seeds 3] [--workers 2]

ROOT holds MNIST, FashionMNIST and CIFAR-10 (`edgesim train --help`). Every run trains on the same evenly
spaced part of the training images, by the data set's preset except for what the study varies, and is measured
on all 10,000 test images: precision@1, each looked up among the others, of the float encoder. RUNS keeps one
folder for each run, so that an interrupted study goes on. The result, of the runs done so far, goes to
bench/results/compact/study.json; what it has already, measured in the same setting, is not trained again
(--afresh: it is).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from harness import RESULTS, describe_machine, write_result
from pages.compact_encoder import ablations_table, compared_table
from tqdm import tqdm

DATASETS = ("mnist", "fashion_mnist", "cifar10")
LOSSES = ("ce", "ms")
# On every data set: with both losses, or with cross-entropy, for it costs three times as much.
WITH_BOTH_LOSSES = ("hybrid", "convolution")
WITH_CROSS_ENTROPY = ("involution",)
# On CIFAR-10 with cross-entropy; the large one costs more than all others together.
ABLATIONS = (
    *("hybrid_relu", "hybrid_2", "hybrid_3"),
    *(f"involution_after_{place}" for place in (1, 2, 3, 4)),
    "residual",
)
BASELINE = "resnet50v2"
RESULT = "compact/study"
# The presets are for cross-entropy; Multi-Similarity loss, whose gradients are of another size, trains as
# edgesim does by default.
SETTINGS: dict[str, dict[str, Any]] = {
    "ce": {},
    "ms": {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.05},
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one run of the study trains; runs of one cell differ by their seed."""

    dataset: str
    loss: str
    model: str

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.loss}-{self.model}"


def cells() -> list[list[Cell]]:
    """Return what to train, the quick ones first."""
    compared = [Cell(d, loss, model) for model in WITH_BOTH_LOSSES for d in DATASETS for loss in LOSSES]
    ablations = [Cell("cifar10", "ce", model) for model in ABLATIONS]
    slow = [Cell(dataset, "ce", model) for model in WITH_CROSS_ENTROPY for dataset in DATASETS]
    return [compared + ablations, slow, [Cell("cifar10", "ce", BASELINE)]]


def measure(cell: Cell, seed: int, root: Path, runs: Path, images: int, epochs: int) -> float:
    """Train one run, or read what it measured before, and return its precision@1."""
    import numpy as np
    import torch

    from edgesim.training.config import load_config, preset_path
    from edgesim.training.datasets import load_canonical
    from edgesim.training.metric_learning import train

    run = runs / f"{cell.name}-{images}x{epochs}-{seed}"
    if (run / "metrics.json").exists():
        return float(json.loads((run / "metrics.json").read_text())["precision_at_1"])
    torch.set_num_threads(1)
    preset = preset_path(cell.dataset)
    config = load_config(
        preset,
        name=cell.name,
        data=cell.dataset,
        loss=cell.loss,
        seed=seed,
        epochs=epochs,
        warmup_epochs=1.0,
        encoder={"model": cell.model},
        **SETTINGS[cell.loss],
    )
    training = load_canonical(cell.dataset, root, 32, train=True)
    rows = np.linspace(0, len(training) - 1, images).round().astype(np.intp)
    test = load_canonical(cell.dataset, root, 32, train=False)
    return train(config, training.subset(rows), test, run, "cpu")["precision_at_1"]


def summary(values: list[float]) -> dict[str, Any]:
    """Return the mean, and as error bar the standard deviation between seeds."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 4), "deviation": round(spread, 4), "seeds": values}


def known_values(setting: dict[str, int]) -> dict[str, list[float]]:
    """Return what an earlier study of the same setting measured: cell name -> precision@1 by seed."""
    path = RESULTS / f"{RESULT}.json"
    if not path.exists():
        return {}
    earlier = json.loads(path.read_text())
    if earlier["setting"] != setting:
        return {}
    return {name: list(row["seeds"]) for name, row in earlier["results"].items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--afresh", action="store_true", help="measure again what the result file has")
    args = parser.parse_args()
    setting = {"images": args.images, "epochs": args.epochs}
    values = {} if args.afresh else known_values(setting)
    # By seed: a study cut short has all of a kind, of fewer seeds.
    jobs = [
        (cell, seed)
        for kind in cells()
        for seed in range(args.seeds)
        for cell in kind
        if seed >= len(values.get(cell.name, []))
    ]
    with ProcessPoolExecutor(args.workers) as pool:
        futures = [
            pool.submit(measure, cell, seed, args.root, args.runs, args.images, args.epochs)
            for cell, seed in jobs
        ]
        for (cell, _), future in zip(jobs, tqdm(futures, "runs", disable=None), strict=True):
            values.setdefault(cell.name, []).append(round(future.result(), 4))
            result = {
                "machine": describe_machine(),
                "setting": setting,
                "results": {name: summary(found) for name, found in values.items()},
            }
            write_result(RESULT, result)
    print(compared_table(result), ablations_table(result), sep="\n\n")


if __name__ == "__main__":
    main()
