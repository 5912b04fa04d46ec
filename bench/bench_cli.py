"""What the command line costs: start, a query, its memory, and where the time of adding images goes.

    python bench/bench_cli.py [--runs 20] [--engine onnxruntime]

Whole processes are timed, on an index of 1,000 drawn photographs (seeded) made with the built-in encoder. The
result goes to bench/results/cli.json, and as a table to stdout.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import (
    describe_machine,
    machine_line,
    markdown_table,
    median_ratio,
    median_seconds,
    run_interleaved,
    write_result,
)

PHOTOS = 1_000
ADD_RUNS = 3
MODULES = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert.interpreter"}


def draw_photos(folder: Path, count: int) -> None:
    """Write `count` JPEG files of 1280 x 960 pixels: a small camera's format, our choice.

    Smooth shading, shapes and sensor noise make them about as hard to decode as photographs.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(0)
    noise = rng.normal(0, 6, (960, 1280, 3))
    folder.mkdir()
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        image = coarse.resize((1280, 960), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
        for _ in range(12):
            x, y, width, height = (int(value) for value in rng.integers(40, 480, 4))
            shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            shape((2 * x, y, 2 * x + width, y + height), fill=colour)
        pixels = np.clip(np.asarray(image) + np.roll(noise, number * 7, axis=1), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:04}.jpg", quality=90)


def profile_add(index: Path, folder: Path, engine: str) -> None:
    """Run `edgesim index add` in this process with a clock around decoding and the encoder; print JSON."""
    import time

    start = time.perf_counter()
    import edgesim.runtime.embedder as embedder
    from edgesim.cli.main import main

    spent = {"decoding": 0.0, "encoder": 0.0}
    first: list[float] = []

    def timed(function: Any, part: str) -> Any:
        def wrapper(*args: Any) -> Any:
            begin = time.perf_counter()
            first.append(begin)
            result = function(*args)
            spent[part] += time.perf_counter() - begin
            return result

        return wrapper

    # The names that the embedder looks up at each call.
    vars(embedder)["load_pixels"] = timed(vars(embedder)["load_pixels"], "decoding")
    type.__setattr__(embedder.Embedder, "embed_pixels", timed(embedder.Embedder.embed_pixels, "encoder"))
    status = main(["index", "add", str(index), str(folder), "--engine", engine, "--json"])
    total = time.perf_counter() - start
    setup = first[0] - start
    rest = total - setup - sum(spent.values())
    seconds = {"imports and model": setup, **spent, "everything else": rest, "total": total}
    print(json.dumps(seconds), file=sys.stderr)
    sys.exit(status)


def run_profiles(work: Path, engine: str) -> dict[str, float]:
    """Make `work`/index from `work`/photos `ADD_RUNS` times; return the profile of the median total time."""
    profiles: list[dict[str, float]] = []
    for _ in range(ADD_RUNS):
        shutil.rmtree(work / "index", ignore_errors=True)
        folders = [str(work / "index"), str(work / "photos")]
        command = [sys.executable, __file__, "--profile-add", *folders, "--engine", engine]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        profiles.append(json.loads(done.stderr.splitlines()[-1]))
    return sorted(profiles, key=lambda seconds: seconds["total"])[ADD_RUNS // 2]


def edgesim_command() -> list[str]:
    """Return the installed console script, or else the module."""
    script = Path(sys.executable).parent / "edgesim"
    return [str(script)] if script.exists() else [sys.executable, "-m", "edgesim"]


def measure(work: Path, runs: int, engine: str) -> dict[str, Any]:
    photos, index = work / "photos", work / "index"
    # In a process of its own, see harness.run_process.
    subprocess.run([sys.executable, __file__, "--draw", str(photos)], check=True)
    seconds = run_profiles(work, engine)
    query = [*edgesim_command(), "query", str(index), str(photos / "0500.jpg"), "--engine", engine]
    measured = run_interleaved(
        {
            "query": query,
            "imports": [sys.executable, "-c", f"import numpy, PIL, {MODULES[engine]}"],
            "help": [*edgesim_command(), "--help"],
            "pass": [sys.executable, "-c", "pass"],
        },
        runs,
    )
    share = (seconds["decoding"] + seconds["encoder"]) / seconds["total"]
    return {
        "machine": describe_machine(),
        "engine": engine,
        "photos": PHOTOS,
        "runs": runs,
        "milliseconds": {name: 1e3 * median_seconds(values) for name, values in measured.items()},
        "add_seconds": seconds,
        "figures": {
            "query over imports": {
                "value": median_ratio(measured["query"], measured["imports"]),
                "limit": 1.5,
            },
            "query peak MiB": {"value": max(run.peak_mib for run in measured["query"]), "limit": 120},
            "help over pass": {"value": median_ratio(measured["help"], measured["pass"]), "limit": 3.0},
            "add: share of decoding and encoder": {"value": share, "at least": 0.9},
        },
    }


def report(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    figures = []
    for name, figure in result["figures"].items():
        value = figure["value"]
        limit = figure.get("limit", figure.get("at least"))
        reached = value <= limit if "limit" in figure else value >= limit
        target = f"{'<=' if 'limit' in figure else '>='} {limit}"
        figures.append((name, f"{value:.3g}", target, "yes" if reached else "no"))
    times = [(name, f"{value:.1f} ms") for name, value in result["milliseconds"].items()]
    total = result["add_seconds"]["total"]
    adding = [(part, f"{s:.2f} s", f"{s / total:.1%}") for part, s in result["add_seconds"].items()]
    return "\n\n".join(
        [
            f"{machine_line(result['machine'])}. Engine {result['engine']}, {result['photos']} photos, "
            f"median of {result['runs']} runs.",
            markdown_table(("figure", "measured", "target", "reached"), figures),
            markdown_table(("process", "wall time"), times),
            markdown_table(("adding the photos", "time", "share"), adding),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, help="measured runs of each process")
    parser.add_argument("--engine", choices=tuple(MODULES), default="onnxruntime", help="inference engine")
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--profile-add", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.draw:
        draw_photos(args.draw, PHOTOS)
    elif args.profile_add:
        index, folder = args.profile_add
        profile_add(index, folder, args.engine)
    else:
        with tempfile.TemporaryDirectory() as work:
            result = measure(Path(work), args.runs, args.engine)
        write_result("cli", result)
        print(report(result))


if __name__ == "__main__":
    main()
