"""`edgesim evaluate --study qk`: the check of the QK Iteration paper on one's own images."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgesim.errors import InputError, UsageError, missing_dependency

JSON_FILE, PAGE_FILE = "study.json", "study.html"
SEEDS, EPOCHS = 3, 20

# Row -> the figures of each seed, as edgesim.training.qk_study returns them.
Figures = dict[str, list[dict[str, float]]]

# Options of an evaluation, as the command line calls them, that mean nothing to a study.
_FOREIGN = ("dataset", "data_root", "engine", "limit", "compare")


def check(args: argparse.Namespace) -> None:
    """Refuse options that do not go with --study, or without it, and values that make no study."""
    if args.study is None:
        for name in ("seeds", "epochs"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name}: goes with --study only; leave it out")
        return
    for name in _FOREIGN:
        if getattr(args, name) is not None:
            option = name.replace("_", "-")
            raise UsageError(f"--{option}: does not go with --study, whose images are FOLDER; leave it out")
    for name, least in (("seeds", 2), ("epochs", 1)):
        given = getattr(args, name)
        if given is not None and given < least:
            raise UsageError(f"--{name}: expected {least} at least, got {given}")
    if args.out and args.out.exists() and not args.out.is_dir():
        raise UsageError(f"{args.out}: is a file; choose a folder with --out")
    if not Path(args.encoder).is_dir():
        raise InputError(f"{args.encoder}: no such folder; pass a folder of images, better some thousand")


def run(args: argparse.Namespace) -> int:
    """Train and measure every method, and print what came out; `check` has passed."""
    report = study(Path(args.encoder), args.seeds or SEEDS, args.epochs or EPOCHS)
    if args.out:
        _write(args.out, report)
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json(report)
    else:
        print(_text(report, args.out))
    return 0


def study(folder: Path, seeds: int, epochs: int) -> dict[str, Any]:
    """Return what --json prints, of a folder of images. Raises `InputError` for too few of them."""
    import dataclasses

    from tqdm import tqdm

    try:
        from edgesim.training.datasets import load_folder
        from edgesim.training.qk_study import METHODS, StudySettings, run_study
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "edgesim evaluate --study") from error
    settings = StudySettings(epochs=epochs)
    images = load_folder(folder, settings.source_size, by_class=False)
    with tqdm(total=len(METHODS) * seeds, desc="training", unit="run", disable=None) as bar:

        def done() -> None:
            bar.update()

        figures = run_study(images.pixels, settings, seeds, done)
    return {
        "study": "qk",
        "folder": str(folder),
        "images": len(images),
        "seeds": seeds,
        "settings": dataclasses.asdict(settings),
        "figures": figures,
        "verdict": verdict(figures),
    }


def spread(figures: Sequence[dict[str, float]], metric: str) -> tuple[float, float]:
    """Return a metric's mean over the seeds and its standard deviation, that of a sample."""
    values = [of_seed[metric] for of_seed in figures]
    return statistics.fmean(values), statistics.stdev(values)


def verdict(figures: Figures) -> list[str]:
    """Return two sentences: qk against the usual losses, and separate heads against one.

    A difference counts when the means of micro_ap differ by more than the sum of their standard deviations:
    our choice.
    """
    return [
        _compared(figures, "qk", "is", {"simclr": "simclr", "moco": "moco"}),
        _compared(figures, "separate heads", "are", {"qk_one_head": "one head"}),
    ]


def _compared(figures: Figures, name: str, verb: str, others: dict[str, str]) -> str:
    """Say how the row `qk`, under a name, stands against others: row -> its name."""
    found: dict[str, list[str]] = {"better": [], "worse": [], "unclear": []}
    for row, other in others.items():
        found[_outcome(figures["qk"], figures[row])].append(other)
    parts = [
        f"{name} {verb} {outcome} than {' and '.join(found[outcome])} here"
        for outcome in ("better", "worse")
        if found[outcome]
    ]
    if found["unclear"]:
        unclear, seeds = " or ".join(found["unclear"]), len(figures["qk"])
        parts.append(f"there is no difference between {name} and {unclear} that {seeds} seeds can show")
    return f"By micro_ap {'; '.join(parts)}."


def _outcome(subject: Sequence[dict[str, float]], other: Sequence[dict[str, float]]) -> str:
    (mean, deviation), (other_mean, other_deviation) = (spread(f, "micro_ap") for f in (subject, other))
    if abs(mean - other_mean) <= deviation + other_deviation:
        return "unclear"
    return "better" if mean > other_mean else "worse"


def _text(report: dict[str, Any], out: Path | None) -> str:
    from edgesim.cli.tables import format_table

    metrics = ("micro_ap", "recall_at_p90", "recall_at_1")
    rows = [
        (row, *("{:.4f} +- {:.4f}".format(*spread(figures, metric)) for metric in metrics))
        for row, figures in report["figures"].items()
    ]
    lines = [
        format_table(("method", *metrics), rows),
        "",
        *report["verdict"],
        "",
        f"images  {report['images']} of {report['folder']}, {report['seeds']} seeds, "
        f"{report['settings']['epochs']} epochs",
    ]
    return "\n".join([*lines, *([f"page    {out / PAGE_FILE}"] if out else [])])


def _write(folder: Path, report: dict[str, Any]) -> None:
    from edgesim.cli.json_output import json_text
    from edgesim.cli.study_page import study_page
    from edgesim.files import write_atomic

    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / JSON_FILE, f"{json_text(report)}\n".encode())
    write_atomic(folder / PAGE_FILE, study_page(report).encode())
