"""The encoders that are trained for MNIST, FashionMNIST and CIFAR-10: what int8 is worth, and how fast it is.

    python bench/bench_compact_figures.py ROOT RUNS [--resnet8 FOLDER]

ROOT holds the three data sets, RUNS one run of `edgesim train` for each, under the data set's name; their
bundles are in bench/results/compact/bundles. All 10,000 test images are embedded by the float encoder and by
each int8 file, and looked up among the others. FOLDER holds the image classifier of MLPerf Tiny, ResNet-8,
pretrainedResnet_quant.tflite, and pretrainedResnet_quant_feat.tflite, the same cut before its classes. It is
measured on CIFAR-10 alike, and timed in turn with our file: one image, one thread, interpreter alone. The
result goes to bench/results/compact/figures.json.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from encoder_costs.interpreters import TfliteModel, invocation
from harness import RESULTS, describe_machine, ratio_in_turn, time_in_turn, write_result
from numpy.typing import NDArray
from pages.compact_encoder import figures_table, latency_table
from tqdm import tqdm

from edgesim.bundle import MODEL_FILES
from edgesim.metrics import l2_normalise, retrieval_metrics
from edgesim.models.cost import parameter_count
from edgesim.models.encoder import embed_pixels
from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.training.checkpoint import load_encoder
from edgesim.training.datasets import CANONICAL, ImageSet, load_canonical

BUNDLES = RESULTS / "compact" / "bundles"
ENGINES = {"onnxruntime": "onnx", "litert": "tflite"}
INTERPRETERS = ("litert", "tflite-runtime")
RESNET8, RESNET8_EMBEDDING = "pretrainedResnet_quant.tflite", "pretrainedResnet_quant_feat.tflite"


def metrics(embeddings: NDArray[np.float32], images: ImageSet) -> dict[str, float]:
    return {name: round(value, 4) for name, value in retrieval_metrics(embeddings, images.labels).items()}


def measure_data_set(name: str, root: Path, runs: Path) -> dict[str, Any]:
    """Return size and quality of a data set's encoder, in float and in each int8 format."""
    encoder, spec = load_encoder(runs / name)
    images = load_canonical(name, root, spec.input_size, train=False)
    found: dict[str, Any] = {
        "parameters": parameter_count(encoder),
        "float": metrics(embed_pixels(encoder, spec, images.pixels), images),
    }
    bundle = open_bundle(str(BUNDLES / name))
    for engine, model_format in ENGINES.items():
        embedder = Embedder(bundle, engine)
        batches = np.array_split(images.pixels, 100)
        embeddings = np.concatenate([embedder.embed_pixels(batch) for batch in tqdm(batches, disable=None)])
        size = bundle.model_path(model_format).stat().st_size
        found[engine] = {"bytes": size, **metrics(embeddings, images)}
    return found


def measure_resnet8(folder: Path, root: Path) -> dict[str, Any]:
    """Return size and quality of ResNet-8's embedding, the 64 averaged features before its classes."""
    images = load_canonical("cifar10", root, 32, train=False)
    path = folder / RESNET8_EMBEDDING
    model = TfliteModel(path)
    embeddings = np.stack([model.run(pixels) for pixels in tqdm(images.pixels, "ResNet-8", disable=None)])
    return {"bytes": path.stat().st_size, **metrics(l2_normalise(embeddings), images)}


def measure_latency(folder: Path, rounds: int = 500) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of both CIFAR-10 models in each interpreter, run in turn."""
    ours = BUNDLES / "cifar10" / MODEL_FILES["tflite"]
    found = {}
    for engine in INTERPRETERS:
        files = {"edgesim": ours, "resnet8": folder / RESNET8}
        runs = {name: invocation(path, 32, engine) for name, path in files.items()}
        seconds = time_in_turn(runs, rounds, warm_up=20)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        found[engine] = {f"{name}_ms": round(1000 * value, 4) for name, value in medians.items()}
        found[engine]["ratio"] = round(ratio_in_turn(seconds["edgesim"], seconds["resnet8"]), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--resnet8", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    figures: dict[str, Any] = {"machine": describe_machine()}
    figures["data_sets"] = {name: measure_data_set(name, args.root, args.runs) for name in CANONICAL}
    if args.resnet8:
        figures["resnet8"] = measure_resnet8(args.resnet8, args.root)
        figures["latency"] = measure_latency(args.resnet8)
    write_result("compact/figures", figures)
    print(figures_table(figures))
    if args.resnet8:
        print("", latency_table(figures), sep="\n")


if __name__ == "__main__":
    main()
