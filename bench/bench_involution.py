"""What the involution costs, and what making its 2x2 patches channels saves: float ONNX, one thread.

    python bench/bench_involution.py [--rounds 200]

Random weights at 128x128; the encoders run in turn, and the medians are printed. The result goes to
bench/results/involution.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from harness import describe_machine, machine_line, markdown_table, write_result

from edgesim.models.encoder import CompactEncoder, EncoderConfig, for_export, parameter_count
from edgesim_export.onnx_graph import INPUT, export_float

ENCODERS = {
    "without involution": EncoderConfig(patch=1, involution_kernel=0),
    "involution on 128x128 pixels of 3 channels": EncoderConfig(patch=1, involution_reduction=1),
    "without involution, 2x2 patches": EncoderConfig(patch=2, involution_kernel=0),
    "involution on 64x64 patches of 12 channels": EncoderConfig(patch=2),
}


def load(config: EncoderConfig, folder: Path) -> tuple[onnxruntime.InferenceSession, int]:
    torch.manual_seed(0)
    encoder = CompactEncoder(config).eval()
    path = folder / "float.onnx"
    export_float(for_export(encoder), path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session, parameter_count(encoder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        loaded = {name: load(config, Path(folder)) for name, config in ENCODERS.items()}
    image = np.random.default_rng(0).standard_normal((1, 3, 128, 128)).astype(np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in loaded}
    for number in range(args.rounds + 10):
        for name, (session, _) in loaded.items():
            start = time.perf_counter()
            session.run(None, {INPUT: image})
            if number >= 10:
                seconds[name].append(time.perf_counter() - start)
    milliseconds = {name: round(1000 * statistics.median(values), 3) for name, values in seconds.items()}
    machine = describe_machine()
    write_result("involution", {"machine": machine, "rounds": args.rounds, "milliseconds": milliseconds})
    print(machine_line(machine), end="\n\n")
    rows = [[name, f"{loaded[name][1]:,}", f"{value:.2f}"] for name, value in milliseconds.items()]
    print(markdown_table(["encoder", "parameters", "ms"], rows))


if __name__ == "__main__":
    main()
