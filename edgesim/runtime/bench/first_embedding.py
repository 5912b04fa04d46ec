"""The first embedding of a process, by stages; run by `edgesim.runtime.bench.startup` in a fresh one."""

from __future__ import annotations

import importlib
import json
import os
import time


def main(first_line: float, arguments: list[str]) -> None:
    """Embed once and print the milliseconds of each stage as JSON.

    Args:
        first_line: `time.monotonic()` at the first line of this process.
        arguments: `time.monotonic()` when it was started, bundle, engine, threads, the engine's module.
    """
    started, bundle, engine, threads, module = arguments
    # Read when onnxruntime is imported: its newer Linux builds write telemetry files otherwise.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import numpy as np
    from PIL import JpegImagePlugin  # noqa: F401

    from edgesim.runtime.embedder import Embedder, open_bundle

    importlib.import_module(module if engine == "onnxruntime" else f"{module}.interpreter")
    imported = time.monotonic()
    embedder = Embedder(open_bundle(bundle), engine, int(threads))
    loaded = time.monotonic()
    size = embedder.bundle.spec.input_size
    embedder.embed_pixels(np.full((1, size, size, 3), 128, dtype=np.uint8))
    embedded = time.monotonic()
    instants = (float(started), first_line, imported, loaded, embedded)
    stages = ("process", "imports", "load", "first_inference")
    taken = {
        stage: (end - start) * 1000
        for stage, start, end in zip(stages, instants[:-1], instants[1:], strict=True)
    }
    print(json.dumps({**taken, "total": (embedded - float(started)) * 1000}))
