"""What a process takes at most that runs one encoder, and nothing else; it prints its own peak in MiB.

    python -m encoder_costs.peak_memory run MODEL SIDE     loads a TFLite or ONNX file and runs it
    python -m encoder_costs.peak_memory hash PACKAGE       hashes a picture with imagehash or pdqhash
    python -m encoder_costs.peak_memory import MODULE...   imports only: what is not the encoder's

bench_encoders.py starts it, in bench/, for each of its rows.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from edgesim.runtime.bench.resident import peak_mib

RUNS = 3
# Of the picture that is hashed: what a photo has become before it is looked at, as in bench_encoders.py.
PICTURE = (500, 375)


def run(model: str, side: str) -> None:
    """Load a model and run it."""
    from encoder_costs.interpreters import invocation

    infer = invocation(Path(model), int(side))
    for _ in range(RUNS):
        infer()


def hash_picture(package: str) -> None:
    """Hash a grey picture."""
    import numpy as np
    from PIL import Image

    picture = Image.new("RGB", PICTURE, (128, 128, 128))
    module = importlib.import_module(package)
    for _ in range(RUNS):
        if package == "pdqhash":
            module.compute(np.asarray(picture))
        else:
            module.phash(picture)


def import_only(*modules: str) -> None:
    """Import modules."""
    for module in modules:
        importlib.import_module(module)


PROGRAMS: dict[str, Callable[..., None]] = {"run": run, "hash": hash_picture, "import": import_only}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
    print(f"{peak_mib():.2f}")
