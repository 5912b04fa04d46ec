"""QK Iteration against a million keys on a PC: what a Q-step and a K-step take, and the memory at its peak.

    python bench/bench_qk.py [FOLDER] [--keys 1000000] [--steps 5]

The keys are of crops, half a picture or more, of the images in FOLDER, by default the sample photographs,
at 32 pixels. A Q-step trains an encoder (`hybrid`, edgesim/models/zoo) on 256 views against the exact keys of
all crops; a K-step computes all keys anew from the backbone's features and trains the key head. The result
goes to bench/results/copy/qk_million.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import describe_machine, markdown_table, write_result
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from edgesim.files import find_images
from edgesim.model_spec import ModelSpec
from edgesim.models.encoder import Encoder, network_input
from edgesim.models.zoo import load_model
from edgesim.preprocess import load_pixels
from edgesim.runtime.bench.resident import peak_mib
from edgesim.sample_photos import sample_photos
from edgesim.training import copy_geometry
from edgesim.training.qk import CHUNK, HeadKeys, key_head_step, nearest_key_loss
from edgesim.training.whitening import backbone_features

SIDE, SOURCE, BATCH, TEMPERATURE = 32, 128, 256, 0.05
CPU = torch.device("cpu")


def crops(pictures: NDArray[np.uint8], numbers: range) -> NDArray[np.uint8]:
    """Return crops (n, 32, 32, 3); crop i is of picture i modulo their number, and only i decides it."""
    made = np.empty((len(numbers), SIDE, SIDE, 3), np.uint8)
    for row, number in enumerate(numbers):
        picture = pictures[number % len(pictures)]
        rng = np.random.default_rng(number)
        crop = copy_geometry.crop(picture, picture, rng, area_min=0.5)
        made[row] = copy_geometry.resize(crop, SIDE, SIDE)
    return made


class Iteration:
    """The two models, the features of all keys, and where their images came from."""

    def __init__(self, pictures: NDArray[np.uint8], keys: int) -> None:
        torch.manual_seed(0)
        self.pictures = pictures
        self.query = Encoder(load_model("hybrid"))
        self.spec = ModelSpec(name="hybrid", input_size=SIDE, embedding_dim=128)
        self.key = Encoder(load_model("hybrid")).requires_grad_(False)
        blocks = [range(start, min(start + 10_000, keys)) for start in range(0, keys, 10_000)]
        self.features = torch.cat(
            [
                backbone_features(self.key, self.spec, crops(pictures, block), CPU, "bfloat16")
                for block in tqdm(blocks, "describing crops", disable=None)
            ]
        )
        self.sources = torch.arange(keys) % len(pictures)
        self.head = self.key.embedding.requires_grad_(True)
        self.keys = HeadKeys(self.head, self.features)
        self.fixed = self.keys.fixed()

    def queries(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return descriptors of mirrored crops, and the rows of these crops."""
        rows = np.random.default_rng(seed).integers(0, len(self.features), BATCH)
        views = np.concatenate([crops(self.pictures, range(row, row + 1)) for row in rows.tolist()])
        batch = network_input(np.ascontiguousarray(views[:, :, ::-1]), self.spec, CPU)
        return functional.normalize(self.query(batch), dim=1), torch.from_numpy(rows)

    def q_step(self, seed: int) -> None:
        queries, rows = self.queries(seed)
        loss = nearest_key_loss(queries, self.fixed, rows, temperature=TEMPERATURE, sources=self.sources)
        loss.backward()  # type: ignore[no-untyped-call]

    def k_step(self, seed: int) -> None:
        with torch.no_grad():
            queries, rows = self.queries(seed)
        key_head_step(self.keys, queries, rows, temperature=TEMPERATURE, sources=self.sources)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    paths = find_images([args.folder]) if args.folder else sample_photos("bench_qk without FOLDER")
    pictures = np.stack([load_pixels(path, SOURCE) for path in paths])
    before = peak_mib()
    iteration = Iteration(pictures, args.keys)
    seconds: dict[str, list[float]] = {"q_step": [], "k_step": []}
    for number in tqdm(range(args.steps), "steps", disable=None):
        for name, step in (("q_step", iteration.q_step), ("k_step", iteration.k_step)):
            start = time.perf_counter()
            step(number)
            seconds[name].append(time.perf_counter() - start)
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "keys": args.keys,
        "images": len(pictures),
        "batch": BATCH,
        "embedding_dim": iteration.spec.embedding_dim,
        "features": iteration.features.shape[1],
        "chunk": CHUNK,
        "peak_mib": round(peak_mib()),
        "peak_mib_before": round(before),
        "logits_would_take_mib": round(args.keys * BATCH * 4 / 2**20),
        "seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
    }
    write_result("copy/qk_million", result)
    rows = [(name, f"{value:.2f} s") for name, value in result["seconds"].items()]
    print(
        markdown_table(["figure", "measured"], [*map(list, rows), ["peak memory", f"{peak_mib():.0f} MiB"]])
    )


if __name__ == "__main__":
    main()
