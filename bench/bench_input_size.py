"""What the built-in encoders find at other input sizes than the one that they ship with.

    python bench/bench_input_size.py SETS [--sizes 112 128 ...]

A network of convolutions and a mean takes pictures of any size. Crops, which it is trained on, look larger to
it than whole pictures, so that the best size to use it at lies above that of training (Touvron et al. 2019,
arXiv 1906.06423). Float weights, as they ship; look-alikes of the copy benchmark for `copy`, kinds of grocery
for `similar`. The result is bench/results/copy/input_size.json.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from bench_copy_detection import Measurement
from bench_similar import accuracies, gallery_and_queries
from copy_detection.benchmark import make_plan
from copy_detection.peers import RunEncoder
from harness import describe_machine, write_result
from heldout_split import image_names
from pages.copy_detection import input_size_table

from edgesim.builtin import checkpoint_path

SIZES = (112, 128, 144, 160, 192)


class SizedEncoder(RunEncoder):
    """A built-in encoder's float weights at an input size of S."""

    def __init__(self, encoder: str, size: int) -> None:
        super().__init__(checkpoint_path(encoder).parent)
        self.spec = dataclasses.replace(self.spec, input_size=size)
        self.name = str(size)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    args = parser.parse_args()
    copies = [SizedEncoder("copy", size) for size in args.sizes]
    plan = make_plan(args.sets)
    found = Measurement(args.sets, plan, copies, None).scores("lookalikes", plan.parts["lookalikes"])
    kinds = [SizedEncoder("similar", size) for size in args.sizes]
    right = accuracies(args.sets, *gallery_and_queries(image_names(args.sets)), kinds)
    result = {"machine": describe_machine(), "copy": found, "similar": right}
    write_result("copy/input_size", result)
    print(input_size_table(result))


if __name__ == "__main__":
    main()
