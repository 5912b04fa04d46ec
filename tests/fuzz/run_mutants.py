"""Decode the mutants of the seeds of one format, with as much memory and time as is promised.

    python -m tests.fuzz.run_mutants FORMAT COUNT

Prints a line for each mutant: empty if it was decoded, else the words of the refusal. A decoder that hangs is
ended by the watchdog, with a traceback and a status that is not 0.
"""

from __future__ import annotations

import contextlib
import faulthandler
import resource
import sys
from pathlib import Path

from edgesim.errors import ImageError
from edgesim.image_limits import MAX_BYTES
from edgesim.preprocess import decode_image
from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import image_seeds
from tests.fuzz.targets import decode

FILE_SECONDS = 60
# What the decoders need beside the picture, and what lies unused between two blocks.
SPARE_BYTES = 64 << 20


def main() -> None:
    image_format, count = sys.argv[1], int(sys.argv[2])
    every = image_seeds()
    seeds, others = every[image_format], [file for files in every.values() for file in files]
    for seed in others:
        assert decode(seed) == ""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MAX_BYTES + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for number in range(count):
        faulthandler.dump_traceback_later(FILE_SECONDS, exit=True)
        mutant = mutate(seeds[number % len(seeds)], number, others)
        print(decode(mutant))
        with contextlib.suppress(ImageError):
            decode_image(mutant)  # in full size


if __name__ == "__main__":
    main()
