"""imagededup's CNN method: its own MobileNetV3 and photo loading; the nearest by its encodings.

    python imagededup_cnn.py [--untrained] index STORE FOLDER
    python imagededup_cnn.py [--untrained] query STORE FOLDER

Its `find_duplicates` compares all photos of one folder with each other, and keeps nothing for a later query;
so the encodings are kept as a NumPy file, and compared by their cosine, as that does. The weights come from
the internet at the first start. `--untrained` does without them, for speed only.

Needs: pip install imagededup
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def encode(folder: Path, untrained: bool) -> tuple[list[str], NDArray[np.float32]]:
    """Return the names and the L2-normalised encodings (N, 576) of a folder's photos."""
    if untrained:
        from torchvision import models

        trained = models.mobilenet_v3_small
        models.mobilenet_v3_small = lambda weights: trained(weights=None)
    from imagededup.methods import CNN

    # With one core the photos are loaded in the process itself, its default.
    cores = len(os.sched_getaffinity(0))
    encodings = CNN(verbose=False).encode_images(folder, num_enc_workers=cores if cores > 1 else 0)
    vectors = np.stack(list(encodings.values())).astype(np.float32)
    return list(encodings), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main(command: str, store: Path, folder: Path, untrained: bool) -> None:
    names, vectors = encode(folder, untrained)
    if command == "index":
        store.mkdir()
        np.savez(store / "encodings.npz", names=np.array(names), vectors=vectors)
        return
    with np.load(store / "encodings.npz") as stored:
        nearest = (vectors @ stored["vectors"].T).argmax(axis=1)
        known = stored["names"]
    print(json.dumps({name: str(known[row]) for name, row in zip(names, nearest, strict=True)}))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--untrained"]
    main(words[0], Path(words[1]), Path(words[2]), untrained="--untrained" in sys.argv)
