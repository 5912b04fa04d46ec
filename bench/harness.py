"""Timing whole processes side by side, and saying on what machine: what the benchmarks have in common."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgesim.machine import read_machine

Name = TypeVar("Name", bound=Hashable)
RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "edgesim",
    "numpy",
    "pillow",
    "onnxruntime",
    "ai-edge-litert",
    "tflite-runtime",
    "hnswlib",
    "usearch",
    "faiss-cpu",
    "sqlite-vec",
)


@dataclasses.dataclass(frozen=True)
class Run:
    """One process from start to end: wall time in seconds, peak resident memory in MiB."""

    seconds: float
    peak_mib: float


def run_process(command: Sequence[str]) -> Run:
    """Run a command with its output discarded; raises `RuntimeError` when it fails.

    A child's peak includes what this process had resident when it forked, so callers must stay small: no
    numpy here.
    """
    # Or modules in this tree would be compiled anew in every run, and installed packages not.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return Run(seconds, usage.ru_maxrss / 1024)


def run_interleaved(
    commands: Mapping[str, Sequence[str]], runs: int, warm_up: int = 3
) -> dict[str, list[Run]]:
    """Run commands in turn, A B A B ..., so that a change of the machine's speed meets all of them.

    Args:
        commands: name -> command.
        runs: how often each is measured.
        warm_up: rounds before, not measured: they fill the page cache and write the .pyc files.
    """
    measured: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(warm_up + runs):
        for name, command in commands.items():
            run = run_process(command)
            if number >= warm_up:
                measured[name].append(run)
    return measured


def milliseconds(action: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - start)


def time_in_turn(
    functions: Mapping[Name, Callable[[], object]], rounds: int, warm_up: int = 10, *, settle: bool = False
) -> dict[Name, list[float]]:
    """Return the seconds of each call of functions that are called in turn, by name.

    Args:
        functions: name -> what is timed.
        rounds: how often each is measured.
        warm_up: rounds before, not measured.
        settle: call each once more, untimed, just before: what the others threw out of the caches is back.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in functions}
    for number in range(warm_up + rounds):
        for name, function in functions.items():
            if settle:
                function()
            start = time.perf_counter()
            function()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio_in_turn(seconds: Sequence[float], baseline: Sequence[float]) -> float:
    """Return the median over the rounds of the seconds over the baseline's in the same round."""
    return statistics.median(a / b for a, b in zip(seconds, baseline, strict=True))


def median_seconds(runs: Sequence[Run]) -> float:
    """Return the median wall time."""
    return statistics.median(run.seconds for run in runs)


def median_ratio(runs: Sequence[Run], baseline: Sequence[Run]) -> float:
    """Return the median over the rounds of the wall time over the baseline's in the same round."""
    return ratio_in_turn([run.seconds for run in runs], [run.seconds for run in baseline])


def describe_machine() -> dict[str, Any]:
    """Return what a figure must name: machine, versions, date."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {**dataclasses.asdict(read_machine()), "packages": versions, "date": today}


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return a machine's description as one line of Markdown."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['cpu']} ({' '.join(machine['features'])}), {machine['cores']} cores, "
        f"{machine['memory_mb']} MiB, {machine['os']}, Python {machine['python']}, {packages}; "
        f"{machine['date']}"
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_result(name: str, result: Mapping[str, Any]) -> Path:
    """Write `bench/results/<name>.json` and return its path."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    return path
