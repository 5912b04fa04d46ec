"""A folder of photos into an index, 1,000 edited copies looked up: edgesim, and what one might take instead.

    python bench/bench_end_to_end.py FOLDER [--queries 1000] [--threads 1 all]
        --edgesim PYTHON --plain PYTHON --models TFLITE ... --imagededup PYTHON [--untrained]

FOLDER holds the photos, *.jpg. Each PYTHON is the interpreter of an environment that has one program and what
it needs, nothing else; bench/end_to_end has the programs and says what to install. A TFLITE is a MobileNet
without its head, quantised. --untrained measures imagededup without its weights, for a machine that cannot
get them: its speed, and no quality.

Whole processes are measured, one after the other, each once, from start to end, on one core or on all. All
photos are read once before, so that the page cache holds them. The result goes to
bench/results/end_to_end.json; what is measured anew replaces the same program's figures on as many cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import RESULTS, describe_machine, run_process, write_result
from pages.end_to_end import NAME, end_to_end_table

BENCH = Path(__file__).parent
PROGRAMS = BENCH / "end_to_end"
# With -I, or the packages of the folder that this runs in would be counted among the environment's.
_VERSIONS = (
    "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
)
# What `python -m venv` brings, and no program needs.
_NOT_COUNTED = ("pip", "setuptools", "pip-*", "setuptools-*", "_distutils_hack", "__pycache__")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """How a program is called, and what of its environment is to be told.

    Attributes:
        name: what the table calls it.
        python: interpreter of its environment.
        index: what precedes STORE and FOLDER.
        query: what precedes STORE and QUERIES.
        model: its model file, if it is not part of the environment.
        judged: whether its answers mean anything.
    """

    name: str
    python: str
    index: Sequence[str]
    query: Sequence[str]
    model: Path | None = None
    judged: bool = True

    def query_command(self, store: Path, queries: Path) -> list[str]:
        """Return the command that looks up all photos of a folder."""
        return [*self.query, str(store), str(queries)]


class CommandLine(Program):
    """edgesim's command line, which is given the files and tells more."""

    def query_command(self, store: Path, queries: Path) -> list[str]:
        photos = sorted(str(photo) for photo in queries.iterdir())
        return [*self.query, str(store), *photos, "-k", "1", "--json"]


def programs(args: argparse.Namespace) -> list[Program]:
    """Return the programs whose environments were named."""
    found: list[Program] = []

    def add(name: str, python: str, *words: str, model: Path | None = None, judged: bool = True) -> None:
        start = [python, *words]
        found.append(
            Program(
                name=name,
                python=python,
                index=[*start, "index"],
                query=[*start, "query"],
                model=model,
                judged=judged,
            )
        )

    if args.edgesim:
        command = str(Path(args.edgesim).parent / "edgesim")
        index, query = [command, "index", "add"], [command, "query"]
        found.append(CommandLine(name="edgesim, command line", python=args.edgesim, index=index, query=query))
        add("edgesim, Python", args.edgesim, str(PROGRAMS / "edgesim_api.py"))
    if args.plain:
        script = str(PROGRAMS / "plain_mobilenet_faiss.py")
        for model in args.models:
            add(f"{model.stem.removesuffix('_feat')}, faiss", args.plain, script, str(model), model=model)
    if args.imagededup:
        untrained = ["--untrained"] if args.untrained else []
        script = str(PROGRAMS / "imagededup_cnn.py")
        add("imagededup, CNN", args.imagededup, script, *untrained, judged=not args.untrained)
    return found


def answers(text: str) -> dict[str, str]:
    """Return query -> nearest photo, by name, from what a program printed."""
    printed: dict[str, Any] = json.loads(text)
    # edgesim's command line tells more.
    if "queries" not in printed:
        return printed
    return {Path(query["query"]).name: Path(query["matches"][0]["path"]).name for query in printed["queries"]}


def recall(found: Mapping[str, str], truth: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Return the share of queries whose nearest photo is the one edited: of all, by kind and by edit."""
    hits: dict[str, list[bool]] = {}
    for name, of in truth.items():
        for group in ("all", of["kind"], of["edit"]):
            hits.setdefault(group, []).append(found.get(name) == of["photo"])
    return {group: sum(right) / len(right) for group, right in hits.items()}


def packages_mib(python: str) -> float:
    """Return the size of an environment's packages, without what every environment has."""
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = Path(_output([python, "-c", purelib]))
    entries = [e for e in folder.iterdir() if not any(e.match(pattern) for pattern in _NOT_COUNTED)]
    return tree_mib(entries)


def tree_mib(paths: Sequence[Path]) -> float:
    """Return the size of files, and of all files below folders."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def measure(program: Program, folder: Path, work: Path, cores: int) -> dict[str, Any]:
    """Run a program; return its figures."""
    store, printed = work / "store", work / "answers.json"
    truth = json.loads((work / "truth.json").read_text())
    photos, model = len(list(folder.glob("*.jpg"))), [program.model] if program.model else []
    indexing = _figures([*program.index, str(store), str(folder)], photos)
    # A shell that becomes the program: the harness discards what a command prints.
    command = program.query_command(store, work / "queries")
    querying = _figures(["sh", "-c", 'exec "$@" >"$0"', str(printed), *command], len(truth))
    figures = {
        "program": program.name,
        "cores": cores,
        "index": indexing,
        "query": querying,
        "installed_mib": packages_mib(program.python) + tree_mib(model),
        "store_mib": tree_mib([store]),
        "recall_at_1": recall(answers(printed.read_text()), truth) if program.judged else None,
        "packages": json.loads(_output([program.python, "-I", "-c", _VERSIONS])),
    }
    shutil.rmtree(store)
    return figures


def _figures(command: Sequence[str], photos: int) -> dict[str, float]:
    """Run a command that goes through so many photos; return wall and CPU time, speed and peak memory."""
    before = os.times()
    run = run_process(command)
    after = os.times()
    return {
        "seconds": run.seconds,
        "cpu_seconds": sum(after[2:4]) - sum(before[2:4]),
        "photos_per_second": photos / run.seconds,
        "peak_mib": run.peak_mib,
    }


def restrict(threads: str, cores: set[int]) -> int:
    """Let this process and those that it starts use one of the cores, or all; return how many."""
    allowed = {min(cores)} if threads == "1" else cores
    os.sched_setaffinity(0, allowed)
    return len(allowed)


def merged(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the rows of both; those of the same program on as many cores come from `after`."""
    new = {(row["program"], row["cores"]) for row in after}
    return [row for row in before if (row["program"], row["cores"]) not in new] + list(after)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of JPEG files, *.jpg")
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--threads", nargs="+", choices=("1", "all"), default=["1", "all"])
    for name in ("edgesim", "plain", "imagededup"):
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"interpreter of the environment for {name}")
    parser.add_argument("--models", nargs="+", type=Path, default=[], help="MobileNets for --plain, TFLite")
    parser.add_argument("--untrained", action="store_true", help="imagededup without weights: speed only")
    args = parser.parse_args()
    chosen = programs(args)
    if not chosen:
        parser.error("name an environment: --edgesim, --imagededup, or --plain with --models")
    cores, rows = os.sched_getaffinity(0), []
    with tempfile.TemporaryDirectory() as work:
        # In a process of its own, see harness.run_process.
        make = [sys.executable, "-m", "end_to_end.queries", str(args.folder.resolve()), work]
        if subprocess.run([*make, "--count", str(args.queries)], cwd=BENCH, check=False).returncode:
            sys.exit(1)
        for photo in args.folder.glob("*.jpg"):
            photo.read_bytes()
        for threads in args.threads:
            for program in chosen:
                rows.append(measure(program, args.folder, Path(work), restrict(threads, cores)))
                print(end_to_end_table({"programs": rows[-1:]}), flush=True)
    photos = list(args.folder.glob("*.jpg"))
    path = RESULTS / f"{NAME}.json"
    before = json.loads(path.read_text())["programs"] if path.exists() else []
    result = {
        "machine": describe_machine(),
        "photos": len(photos),
        "photos_mib": tree_mib(photos),
        "queries": args.queries,
        "programs": merged(before, rows),
    }
    write_result(NAME, result)
    print(end_to_end_table(result))


if __name__ == "__main__":
    main()
