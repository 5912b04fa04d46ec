"""Precision@1 before and after fine-tuning a built-in encoder, on photos kept aside by the command itself.

    python bench/bench_fine_tuning.py SETS ELPV_LABELS [--encoder copy] [--only elpv] [--seeds 0 1 2]
        [--threads 1]

SETS holds one folder an image set; the class folders are made of links, in a temporary folder. File names of
neu_det hold the class; that of a solar cell of elpv, one of four likelihoods of a defect, stands in
ELPV_LABELS, which is labels.csv of the PyPI package elpv-dataset. Each seed splits and trains anew with
`edgesim train --from`. The built-in encoders were trained on photos of these sets too, without their classes
(their model cards): other photos than these may gain more or less. The result goes to
bench/results/compact/fine_tuning.json, which holds one encoder's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import RESULTS, describe_machine, write_result
from pages.compact_encoder import fine_tuning_table

from edgesim.builtin import DEFAULT_ENCODER
from edgesim.files import find_images

# What of a file's name in neu_det is its class.
_NEU_DET = r"(crazing|inclusion|patches|pitted_surface|rolled-in_scale|scratches)_\d+\."
SETS = ("neu_det", "elpv")


def classes_of(source: Path, elpv_labels: Path) -> dict[Path, str]:
    """Return the class of every image of a set."""
    images = find_images([source])
    if source.name == "neu_det":
        found = {path: re.search(_NEU_DET, path.name) for path in images}
        return {path: match[1] for path, match in found.items() if match}
    lines = [line.split() for line in elpv_labels.read_text().splitlines()]
    likelihoods = {Path(name).stem: f"{float(value):.2f}" for name, value, _ in lines}
    return {path: likelihoods[path.stem.rpartition("__")[2]] for path in images}


def make_class_folders(classes: dict[Path, str], folder: Path) -> None:
    """Link every image into the folder of its class."""
    for path, name in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / path.name).symlink_to(path.resolve())


def fine_tune(encoder: str, data: Path, seed: int, threads: int, out: Path) -> dict[str, Any]:
    """Run the command and return its metrics."""
    command = [sys.executable, "-m", "edgesim", "train", "--from", encoder, "--device", "cpu", "--json"]
    command += ["--data", str(data), "--seed", str(seed), "--out", str(out)]
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    run = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)
    return {"seed": seed, **json.loads(run.stdout)["metrics"]}


def measure(
    encoder: str, name: str, classes: dict[Path, str], seeds: list[int], threads: int
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_class_folders(classes, folder / name)
        return [fine_tune(encoder, folder / name, seed, threads, folder / f"run-{seed}") for seed in seeds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("elpv_labels", type=Path)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="what edgesim train --from takes")
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS, help="keep the others' last result")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    runs = {
        name: measure(
            args.encoder, name, classes_of(args.sets / name, args.elpv_labels), args.seeds, args.threads
        )
        for name in args.only
    }
    path = RESULTS / "compact" / "fine_tuning.json"
    earlier = json.loads(path.read_text()) if path.exists() else {}
    if earlier.get("encoder") == args.encoder:
        runs = earlier["runs"] | runs
    settings = {"encoder": args.encoder, "threads": args.threads}
    result = {"machine": describe_machine(), **settings, "runs": runs}
    write_result("compact/fine_tuning", result)
    print(fine_tuning_table(result))


if __name__ == "__main__":
    main()
