"""MobileNet without its head, as a TFLite file, and a flat faiss index: what one writes in an afternoon.

    python plain_mobilenet_faiss.py MODEL index STORE FOLDER
    python plain_mobilenet_faiss.py MODEL query STORE FOLDER

Needs: pip install ai-edge-litert faiss-cpu pillow
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import faiss
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image


def embed(model: str, photos: list[Path]) -> NDArray[np.float32]:
    """Return L2-normalised embeddings (N, D) of the photos."""
    interpreter = Interpreter(model_path=model, num_threads=len(os.sched_getaffinity(0)))
    interpreter.allocate_tensors()
    entry, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = output["quantization"]
    rows = []
    for photo in photos:
        with Image.open(photo) as image:
            pixels = np.asarray(image.convert("RGB").resize(tuple(entry["shape"][2:0:-1])))
        if entry["dtype"] == np.int8:
            pixels = (pixels.astype(np.int16) - 128).astype(np.int8)
        interpreter.set_tensor(entry["index"], pixels[None])
        interpreter.invoke()
        values = interpreter.get_tensor(output["index"]).reshape(-1).astype(np.float32)
        rows.append((values - np.float32(zero_point)) * np.float32(scale))
    vectors: NDArray[np.float32] = np.stack(rows)
    faiss.normalize_L2(vectors)
    return vectors


def main(model: str, command: str, store: Path, folder: Path) -> None:
    photos = sorted(folder.glob("*.jpg"))
    vectors = embed(model, photos)
    names = [photo.name for photo in photos]
    if command == "index":
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        store.mkdir()
        faiss.write_index(index, str(store / "index.faiss"))
        (store / "names.json").write_text(json.dumps(names))
        return
    known = json.loads((store / "names.json").read_text())
    _, nearest = faiss.read_index(str(store / "index.faiss")).search(vectors, 1)
    print(json.dumps({name: known[row] for name, row in zip(names, nearest[:, 0], strict=True)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
