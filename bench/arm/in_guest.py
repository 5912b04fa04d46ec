"""What runs in the guest, with the edgesim that was installed there.

    python in_guest.py embed BUNDLE ENGINE OUT.npy PHOTO...   the embeddings, float32 (N, D); prints a version
    python in_guest.py search INDEX BUNDLE ENGINE PHOTO       a warm search, exactly and through a graph
    python in_guest.py cold INDEX BUNDLE ENGINE PHOTO         what `edgesim query` does, up to its answer
    python in_guest.py load BUNDLE ENGINE                     nothing but the engine, with the model loaded

Marks say where the steps begin and end, see `count_instructions.c`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

MARK = 0x40000000
# The numbers of the marks. A step lasts from its own to the next one.
DECODE, EMBED, SEARCH, DONE = 1, 2, 3, 4


def mark(number: int) -> None:
    """Set a mark: close a descriptor that nobody has."""
    with contextlib.suppress(OSError):
        os.close(MARK + number)


def embed(bundle: str, engine: str, out: str, *photos: str) -> None:
    """Decode and embed photos one by one."""
    import numpy as np

    from edgesim.preprocess import load_pixels
    from edgesim.runtime.embedder import Embedder, open_bundle

    embedder = Embedder(open_bundle(bundle), engine)
    embeddings = []
    for photo in photos:
        mark(DECODE)
        pixels = load_pixels(Path(photo), embedder.bundle.spec.input_size)
        mark(EMBED)
        embeddings.append(embedder.embed_pixels(pixels[None])[0])
        mark(DONE)
    np.save(out, np.stack(embeddings))
    print(embedder.engine_version)


def search(folder: str, bundle: str, engine: str, photo: str) -> None:
    """Search an index twice exactly, then twice through a graph that is built here; print how both agree."""
    from edgesim.runtime.embedder import Embedder, open_bundle
    from edgesim.runtime.index import Index

    vector = Embedder(open_bundle(bundle), engine).embed_image(Path(photo))
    answers = []
    for exact_limit in (len_of(folder), len_of(folder) - 1):
        with Index.open(Path(folder), exact_limit=exact_limit) as index:
            index.refresh_graph()
            for _ in range(2):
                mark(SEARCH)
                answers.append([match.path for match in index.search(vector, 5)])
                mark(DONE)
            print(index.stats()["search"])
    print(len(set(answers[0]) & set(answers[-1])))


def len_of(folder: str) -> int:
    """Return the number of entries of an index."""
    from edgesim.runtime.index import Index

    with Index.open(Path(folder), read_only=True) as index:
        return len(index)


def cold(folder: str, bundle: str, engine: str, photo: str) -> None:
    """Answer one query by the command line's own function."""
    from edgesim.cli.main import main

    status = main(["query", folder, photo, "--encoder", bundle, "--engine", engine])
    mark(DONE)
    sys.exit(status)


def load(bundle: str, engine: str) -> None:
    """Import an engine and load the model as its documentation shows, without edgesim."""
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = str(Path(bundle, "model.onnx"))
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    else:
        if engine == "litert":
            from ai_edge_litert.interpreter import Interpreter
        else:
            from tflite_runtime.interpreter import Interpreter
        Interpreter(model_path=str(Path(bundle, "model.tflite")), num_threads=1).allocate_tensors()
    mark(DONE)


PROGRAMS: dict[str, Callable[..., None]] = {"embed": embed, "search": search, "cold": cold, "load": load}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
