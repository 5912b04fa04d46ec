"""Does the same photo give the same embedding on another x86 CPU? Golden images, CPUs emulated by QEMU.

    python bench/bench_cpus.py [--encoder copy similar FOLDER ...]     needs qemu-x86_64 (Debian: qemu-user)

An index made on one machine is queried on others, so their embeddings must agree. The shop-floor PC without
AVX (`Nehalem`: SSE4.2) and the one with AVX2 but without VNNI (`Haswell`) run other kernels than this one;
the latter's int8 products overflow 16 bits unless the weights leave room (`reduce_range` in the recipe). The
result goes to bench/results/cpus.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import describe_machine, machine_line, markdown_table, write_result

from edgesim.builtin import ENCODERS

CPUS = {"Nehalem": "SSE4.2, no AVX", "Haswell": "AVX2, no VNNI"}
ENGINES = ("onnxruntime", "litert", "tflite-runtime")

# Runs in each emulated CPU: prints the embeddings of the golden images as JSON.
_PROGRAM = """
import json, sys
sys.path[:0] = json.loads(sys.argv[3])
from edgesim.preprocess import load_pixels
from edgesim.runtime.embedder import Embedder, open_bundle
import numpy as np
embedder = Embedder(open_bundle(sys.argv[1]), engine=sys.argv[2])
images, _ = embedder.bundle.golden({"onnxruntime": "onnx"}.get(sys.argv[2], "tflite"))
pixels = np.stack([load_pixels(image, embedder.bundle.spec.input_size) for image in images])
print(json.dumps(embedder.embed_pixels(pixels).tolist()))
"""


def embeddings(encoder: str, engine: str, cpu: str | None) -> Any:
    import numpy as np

    # The variable would force a kernel that the emulated CPU lacks.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    emulator = ["qemu-x86_64", "-cpu", cpu] if cpu else []
    python = str(Path(sys.executable).resolve())
    command = [*emulator, python, "-c", _PROGRAM, encoder, engine, json.dumps(sys.path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        return None
    return np.array(json.loads(result.stdout.splitlines()[-1]), dtype=np.float32)


def main() -> None:
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", nargs="+", default=list(ENCODERS))
    args = parser.parse_args()
    rows = []
    for encoder, engine in itertools.product(args.encoder, ENGINES):
        here = embeddings(encoder, engine, None)
        for cpu, features in CPUS.items():
            there = embeddings(encoder, engine, cpu)
            ran = here is not None and there is not None
            rows.append(
                {
                    "encoder": encoder,
                    "engine": engine,
                    "cpu": cpu,
                    "features": features,
                    "ran": ran,
                    "bit_equal": bool(ran and np.array_equal(here, there)),
                    "lowest_cosine": round(float((here * there).sum(axis=1).min()), 6) if ran else None,
                }
            )
    machine = describe_machine()
    write_result("cpus", {"machine": machine, "rows": rows})
    print(machine_line(machine), end="\n\n")
    cells = [[str(value) for value in row.values()] for row in rows]
    header = ["encoder", "engine", "emulated CPU", "features", "ran", "bit-equal", "lowest cosine"]
    print(markdown_table(header, cells))


if __name__ == "__main__":
    main()
