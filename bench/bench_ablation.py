"""What each choice in the encoder `copy` is worth: small training runs that differ in one thing each.

    python bench/bench_ablation.py SETS --runs FOLDER --teacher RUN

bench/encoders/ablation.toml names the runs. Each learns from the same images, those of SETS that
heldout_split.py leaves to training and whose path has the lowest SHA-256, for the same number of epochs, and
is asked one part of the copy benchmark. A run that FOLDER holds already is not trained again; one that was
stopped goes on. One seed: differences below that between seeds, which the study of QK Iteration shows to be
about 0.02, say nothing. The result is bench/results/copy/ablation.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench_copy_detection import Measurement
from copy_detection.benchmark import make_plan
from copy_detection.peers import RunEncoder
from harness import describe_machine, write_result
from heldout_split import image_names, split
from pages.copy_detection import ablation_table

from edgesim.models.zoo import encoder_values
from edgesim.settings import build, read_toml
from edgesim.training.config import TrainingConfig

SETTINGS = Path(__file__).parent / "encoders" / "ablation.toml"


def settings_of(base: dict[str, Any], changes: dict[str, Any]) -> TrainingConfig:
    """Return the settings of a run: tables of `changes` are laid over the base's, other values replace it."""
    values = dict(base)
    for key, value in changes.items():
        values[key] = {**base[key], **value} if isinstance(value, dict) else value
    values["encoder"] = encoder_values(values["encoder"], "encoder")
    return build(TrainingConfig, values, SETTINGS.name)


def train(args: argparse.Namespace, config: TrainingConfig, run: Path, excluded: Path) -> None:
    """Train a run with the command line, as a user would; resume it if it was stopped."""
    settings = args.runs / f"{run.name}.toml"
    settings.write_text(config.to_toml())
    command = [sys.executable, "-m", "edgesim", "train", "--config", settings, "--data", args.sets]
    command += ["--exclude", excluded, "--out", run]
    if config.qk.keys == "both":
        command += ["--teacher", args.teacher]
    subprocess.run(list(map(str, command)), check=True)


def measure(sets: Path, part: str, runs: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Return what each run's encoder is and finds of a part of the benchmark, by the run's name."""
    plan = make_plan(sets)
    encoders = [RunEncoder(run) for run in runs.values()]
    scores = Measurement(sets, plan, encoders, None).scores(part, plan.parts[part])
    return {
        name: {
            "parameters": encoder.parameters,
            "input_size": encoder.spec.input_size,
            "dim": encoder.dim,
            **scores[encoder.name],
        }
        for name, encoder in zip(runs, encoders, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path)
    parser.add_argument("--runs", type=Path, required=True, help="folder that the runs are kept in")
    parser.add_argument("--teacher", type=Path, required=True, help="run whose keys the student also learns")
    args = parser.parse_args()
    settings = read_toml(SETTINGS)
    args.runs.mkdir(parents=True, exist_ok=True)
    excluded = args.runs / "excluded.txt"
    kept = set(split(image_names(args.sets))[1][: settings["images"]])
    excluded.write_text("\n".join(name for name in image_names(args.sets) if name not in kept))
    runs = {}
    for number, (name, changes) in enumerate(settings["variants"].items()):
        run = args.runs / f"{number:02}"
        if not (run / "metrics.json").exists():
            train(args, settings_of(settings["base"], changes), run, excluded)
        runs[name] = run
    figures = measure(args.sets, settings["part"], runs)
    result = {"machine": describe_machine(), "images": settings["images"], "runs": figures}
    write_result("copy/ablation", result)
    print(ablation_table(result))


if __name__ == "__main__":
    main()
