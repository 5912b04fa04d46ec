"""What the involution costs in int8, in the form that is exported and as a matrix product.

    python bench/bench_involution.py [--rounds 200]

Random weights, one thread, three engines. The encoders run in turn; the medians are printed. The
result goes to bench/results/involution.json.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import statistics
from collections.abc import Callable

import numpy as np
import onnxruntime
import tflite_runtime.interpreter as tflite_runtime
import torch
from ai_edge_litert import interpreter as litert
from harness import describe_machine, machine_line, markdown_table, time_in_turn, write_result
from torch import Tensor

from edgesim.models import zoo
from edgesim.models.encoder import Encoder, for_export
from edgesim.models.involution import ExportedInvolution, Involution
from edgesim.models.stages import ResidualInvolution, Stage
from edgesim_export.conversion import convert
from edgesim_export.onnx_graph import INPUT
from edgesim_export.recipe import select_recipes


class MatrixInvolution(ExportedInvolution):
    """An involution of one group as a batched matrix product, each pixel's kernel by its window."""

    def forward(self, x: Tensor) -> Tensor:
        channels, kk = x.shape[1], self.kernel_size**2
        kernels = self.span(torch.relu(self.reduce(self.pool(x))))[:, ::channels].permute(0, 2, 3, 1)
        windows = self.windows(x).permute(0, 2, 3, 1).reshape(-1, kk, channels)
        out = torch.matmul(kernels.reshape(-1, 1, kk), windows)
        return out.reshape(-1, *kernels.shape[1:3], channels).permute(0, 3, 1, 2)


def encoders() -> dict[str, Encoder]:
    """Return name -> encoder, ready for the converters."""
    photo = zoo.load_model("photo")
    pixels = dataclasses.replace(photo, patch=1, stages=(Stage(kind="involution"), *photo.stages[1:]))
    named = {
        "without involution": dataclasses.replace(photo, stages=photo.stages[1:]),
        "on 64x64 patches of 12 channels": photo,
        "on 128x128 pixels of 3 channels": pixels,
    }
    made = {}
    for name, config in named.items():
        torch.manual_seed(0)
        encoder = Encoder(config).eval()
        made[name] = for_export(encoder)
        if isinstance(encoder.stages[0], ResidualInvolution):
            as_matrix = copy.deepcopy(made[name])
            involution = encoder.stages[0].involution
            assert isinstance(involution, Involution)
            as_matrix.stages[0].involution = MatrixInvolution(involution)
            made[f"{name}, matrix product"] = as_matrix
    return made


def engines(encoder: Encoder) -> dict[str, Callable[[], object]]:
    """Return engine -> a function that computes one embedding in int8."""
    images = np.random.default_rng(0).standard_normal((4, 128, 128, 3)).astype(np.float32)
    recipes = select_recipes(("onnx", "tflite"), ())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(convert(encoder, images, recipes["onnx"]).content, options)
    channels_first = np.ascontiguousarray(images[:1].transpose(0, 3, 1, 2))
    content = convert(encoder, images, recipes["tflite"]).content
    interpreters = {
        "litert": litert.Interpreter(model_content=content, num_threads=1),
        "tflite-runtime": tflite_runtime.Interpreter(model_content=content, num_threads=1),
    }
    for interpreter in interpreters.values():
        interpreter.allocate_tensors()
    functions: dict[str, Callable[[], object]] = {
        **{name: interpreter.invoke for name, interpreter in interpreters.items()},
        "onnxruntime": lambda: session.run(None, {INPUT: channels_first}),
    }
    return functions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    made = {name: engines(encoder) for name, encoder in encoders().items()}
    runs = {(name, engine): run for name, functions in made.items() for engine, run in functions.items()}
    seconds = time_in_turn(runs, args.rounds)
    milliseconds = {
        name: {engine: round(1000 * statistics.median(seconds[name, engine]), 3) for engine in functions}
        for name, functions in made.items()
    }
    machine = describe_machine()
    write_result("involution", {"machine": machine, "rounds": args.rounds, "milliseconds": milliseconds})
    print(machine_line(machine), end="\n\n")
    rows = [[name, *(f"{value:.2f}" for value in of.values())] for name, of in milliseconds.items()]
    print(markdown_table(["involution", *(f"{engine}, ms" for engine in made["without involution"])], rows))


if __name__ == "__main__":
    main()
