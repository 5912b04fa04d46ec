"""edgesim's encoders beside what one would use instead: size, memory, latency, and the machine's limit.

    python bench/bench_encoders.py --encoder copy similar [FOLDER ...] [--peers FOLDER] [--sscd ONNX]
        [--hashes] [--rounds 200]

One thread, engine alone: LiteRT for TFLite files, onnxruntime for ONNX files, both for edgesim's. All run in
turn, so that a change of the machine's speed meets all of them; ratios to `copy` are medians over the rounds,
of the same engine. "Whole" is from a decoded picture of 500x375 to an embedding, resizing included. Achieved
multiply-accumulates a second stand beside what a large matrix product reaches in the same engine and
arithmetic (encoder_costs/ceilings.py). efficientnet_file.py makes the files of EfficientNet-Lite0. The result
goes to bench/results/encoders.json; pages/encoders.py joins it with what bench_copy_detection.py measured.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from copy_detection.peers import CopyEncoder, add_arguments, open_encoders
from encoder_costs.ceilings import BUFFERS, SIDE, product_files
from encoder_costs.interpreters import invocation
from encoder_costs.model_costs import file_cost
from encoder_costs.peak_memory import PICTURE
from encoder_costs.rows import ENCODERS, OURS, ours_for
from harness import describe_machine, machine_line, ratio_in_turn, time_in_turn, write_result
from pages.encoders import cost_table, speed_table
from PIL import Image
from tqdm import tqdm

from edgesim.errors import EdgesimError, UsageError

BENCH = Path(__file__).parent
CHILDREN, PRODUCT_ROUNDS = 3, 20
_WHOLE = "whole "
ENGINES = {".tflite": "litert", ".onnx": "onnxruntime"}
HASH_PACKAGES = {"pHash": "imagehash", "PDQ": "pdqhash", "PDQ, 8 flips and rotations": "pdqhash"}
# What every process has that uses the engine.
IMPORTS = {
    "litert": ("numpy", "encoder_costs.interpreters", "ai_edge_litert.interpreter"),
    "onnxruntime": ("numpy", "encoder_costs.interpreters", "onnxruntime"),
}


def peak_mib(*arguments: str | Path | int) -> float:
    """Return the median peak of a few processes of peak_memory.py."""
    command = [sys.executable, "-m", "encoder_costs.peak_memory", *map(str, arguments)]
    runs = [
        subprocess.run(command, cwd=BENCH, capture_output=True, text=True, check=True)
        for _ in range(CHILDREN)
    ]
    return round(statistics.median(float(run.stdout) for run in runs), 1)


def measure_ceilings(rounds: int) -> dict[str, Any]:
    """Return the best multiply-accumulates a second by engine and arithmetic, and bytes a second."""
    best: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        products = {product.path.name: product for product in product_files(Path(folder))}
        runs = {name: invocation(product.path, SIDE) for name, product in products.items()}
        seconds = time_in_turn(runs, rounds, 2, settle=True)
        for name, (engine, arithmetic, path) in products.items():
            speed = round(file_cost(path, SIDE).macs / statistics.median(seconds[name]))
            of = best.setdefault(engine, {})
            of[arithmetic] = max(speed, of.get(arithmetic, 0))
    return {
        "macs_per_second": best,
        "bytes_per_second": {n: _copy_speed(size) for n, size in BUFFERS.items()},
    }


def _copy_speed(size: int) -> int:
    """Return the bytes a second, read and written, at which a buffer of `size` bytes is copied."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    # At least 64 MiB at a time, so that the clock counts for nothing.
    times = max(1, 2**26 // size)

    def copy() -> None:
        for _ in range(times):
            np.copyto(target, source)

    seconds = time_in_turn({"copy": copy}, 15, 2)["copy"]
    return round(2 * size * times / statistics.median(seconds))


def describe(encoder: CopyEncoder) -> dict[str, Any]:
    """Return what does not depend on time: file, memory, multiply-accumulates."""
    row: dict[str, Any] = {"engine": "", "bytes": encoder.bytes, "dim": encoder.dim}
    if encoder.path is None:
        return {**row, "peak_mib": peak_mib("hash", HASH_PACKAGES[encoder.name])}
    cost = file_cost(encoder.path, encoder.side)
    return {
        **row,
        "engine": ENGINES[encoder.path.suffix],
        "side": encoder.side,
        "arithmetic": cost.arithmetic,
        "macs": cost.macs,
        "moved_bytes": cost.moved_bytes,
        "peak_mib": peak_mib("run", encoder.path.resolve(), encoder.side),
    }


def measure_latency(encoders: Sequence[CopyEncoder], rounds: int) -> dict[str, dict[str, float]]:
    """Return of each encoder the milliseconds of the engine alone and of the whole, and ratios to `copy`."""
    noise = np.random.default_rng(0).integers(0, 256, (*PICTURE[::-1], 3), dtype=np.uint8)
    functions: dict[str, Callable[[], object]] = {}
    for encoder in encoders:
        if alone := encoder.invocation():
            functions[encoder.name] = alone
        functions[_WHOLE + encoder.name] = functools.partial(_embed, encoder, Image.fromarray(noise))
    seconds = time_in_turn(functions, rounds, settle=True)
    found: dict[str, dict[str, float]] = {}
    for encoder in encoders:
        ours = ours_for(ENGINES[encoder.path.suffix] if encoder.path else "")
        of = found[encoder.name] = {}
        for key, start in (("", ""), ("whole_", _WHOLE)):
            if values := seconds.get(start + encoder.name):
                of[f"{key}ms"] = round(1000 * statistics.median(values), 4)
                of[f"{key}over_copy"] = round(ratio_in_turn(values, seconds[start + ours]), 3)
    return found


def _embed(encoder: CopyEncoder, picture: Image.Image) -> object:
    # As a query, which some hashes look up in more than one version.
    return encoder.embed_queries([picture])


def open_rows(args: argparse.Namespace) -> list[CopyEncoder]:
    """Open all encoders that the options name. Raises an `EdgesimError`."""
    encoders = open_encoders(args)
    names = [encoder.name for encoder in encoders]
    if missing := set(OURS.values()) - set(names):
        raise UsageError(f"--encoder, --engine: the ratios need {' and '.join(sorted(missing))}; name copy")
    if doubles := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"{', '.join(sorted(doubles))}: named more than once; leave one out")
    return encoders


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=200, help="of the measurement of time")
    args = parser.parse_args()
    if args.run:
        parser.error("--run: a run has no model file to measure; export it and name the bundle")
    return args


def main() -> None:
    args = parse_arguments()
    try:
        encoders = open_rows(args)
        rows = {encoder.name: describe(encoder) for encoder in tqdm(encoders, "memory", disable=None)}
    except EdgesimError as error:
        sys.exit(str(error))
    for name, latency in measure_latency(encoders, args.rounds).items():
        rows[name] |= latency
    result = {
        "machine": describe_machine(),
        "rounds": args.rounds,
        "ceilings": measure_ceilings(PRODUCT_ROUNDS),
        "imports_mib": {engine: peak_mib("import", *modules) for engine, modules in IMPORTS.items()},
        "encoders": rows,
    }
    write_result(ENCODERS, result)
    print(machine_line(result["machine"]))
    for table in (cost_table, speed_table):
        print("", table(result), sep="\n")


if __name__ == "__main__":
    main()
