"""From photos to embeddings: a bundle, loaded into an inference engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesim.builtin import ENCODERS, bundle_folder, is_builtin
from edgesim.bundle import Bundle
from edgesim.errors import BundleError
from edgesim.metrics import l2_normalise, paired_cosine
from edgesim.model_spec import PREPROCESS_VERSION
from edgesim.preprocess import load_pixels, resize_image
from edgesim.runtime.engines import load_backend, model_format

# Golden embeddings are not reproduced to the bit everywhere, for int8 kernels differ in rounding: LiteRT and
# tflite-runtime, both as near to the float encoder, agree to 0.986 at worst with `similar`. Far below that
# something is broken, as when 8-bit weights overflow on x86 with AVX2 but without VNNI. Our choice.
SELF_TEST_COSINE = 0.97


def open_bundle(name_or_path: str) -> Bundle:
    """Load the bundle of a built-in encoder (`edgesim.builtin.ENCODERS`), or the one in a folder.

    A built-in name wins over a folder of that name, which `./` before it reaches. The folder may be that of a
    bundle, or a store (`edgesim.runtime.bundle_store`), of which it is the bundle in use.

    Raises:
        BundleError: an unknown name that is no folder either, no bundle there, one that is damaged, or one
            that this device does not accept (`edgesim.trust`).
        UsageError, MissingDependencyError: see `edgesim.trust.required_keys`.
    """
    if is_builtin(name_or_path):
        return Bundle.load(bundle_folder(name_or_path))
    # Behind the built-in encoders, which need neither.
    from edgesim.runtime.bundle_store import is_store, open_current
    from edgesim.trust import check_trusted

    folder = Path(name_or_path)
    if not folder.exists():
        raise BundleError(
            f"{folder}: no such folder, and not one of {', '.join(ENCODERS)}; "
            "make a bundle with: edgesim export"
        )
    bundle = open_current(folder) if is_store(folder) else Bundle.load(folder)
    check_trusted(bundle)
    return bundle


class Embedder:
    """Computes embeddings with the encoder of a bundle.

    Attributes:
        bundle: the bundle.
        engine: name of the engine in use, one of `edgesim.runtime.engines.ENGINES`.

    Args:
        bundle: a loaded bundle.
        engine: force an engine; by default the first installed one that fits.
        threads: how many CPU threads one inference may use.

    Raises:
        BundleError: made for another preprocessing, or the engine cannot load the model.
        UsageError, MissingDependencyError: see `edgesim.runtime.engines.load_backend`.
    """

    def __init__(self, bundle: Bundle, engine: str | None = None, threads: int = 1) -> None:
        if bundle.spec.preprocess_version != PREPROCESS_VERSION:
            raise BundleError(
                f"{bundle.folder}: made for preprocessing version {bundle.spec.preprocess_version}, this "
                f"edgesim has version {PREPROCESS_VERSION}; install the matching edgesim or export it again"
            )
        self.bundle = bundle
        self._backend = load_backend(bundle, engine, threads)
        self.engine = self._backend.engine

    @property
    def engine_version(self) -> str:
        """The version of the engine in use."""
        return self._backend.version

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the L2-normalised embeddings (N, D), float32, of RGB pixels (N, S, S, 3), uint8.

        S is the spec's `input_size`; raises `ValueError` for another shape or dtype, and `BundleError` if the
        model does not take such pixels or does not give such embeddings.
        """
        size = self.bundle.spec.input_size
        if pixels.shape[1:] != (size, size, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"pixels must be uint8 of shape (N, {size}, {size}, 3), got {pixels.dtype} {pixels.shape}"
            )
        if len(pixels) == 0:
            return np.empty((0, self.bundle.spec.embedding_dim), dtype=np.float32)
        return l2_normalise(self._infer(pixels))

    def _infer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the raw embeddings (N, D); what the manifest promises of the model is checked."""
        try:
            raw = self._backend.infer(self._backend.prepare(pixels, self.bundle.spec))
        except Exception as error:  # the engines have classes of their own
            detail = " ".join(str(error).split())
            raise BundleError(
                f"{self.bundle.folder}: its model fails in {self.engine} {self.engine_version} ({detail}); "
                "get the bundle again"
            ) from error
        expected = (len(pixels), self.bundle.spec.embedding_dim)
        if raw.shape != expected:
            raise BundleError(
                f"{self.bundle.folder}: its model gives embeddings of shape {raw.shape[1:]}, the manifest "
                f"says {expected[1:]}; get the bundle again"
            )
        return raw

    def embed_image(self, source: Path | bytes | Image.Image, name: str | None = None) -> NDArray[np.float32]:
        """Return the L2-normalised embedding (D,) of one image.

        Args:
            source: a path, the bytes of an image file, or an upright decoded picture.
            name: what messages call the image; by default its path.

        Raises:
            ImageError: it cannot be decoded, or is refused.
        """
        embedding: NDArray[np.float32] = self.embed_pixels(self.load(source, name)[None])[0]
        return embedding

    def load(self, source: Path | bytes | Image.Image, name: str | None = None) -> NDArray[np.uint8]:
        """Return what the encoder sees of one image, (S, S, 3) uint8; see `embed_image`.

        Takes most of the time and may be called in many threads; `embed_pixels` in one only.
        """
        size = self.bundle.spec.input_size
        if isinstance(source, Image.Image):
            return resize_image(source.convert("RGB"), size)
        return load_pixels(source, size, name)

    def self_test(self) -> float:
        """Recompute the bundle's golden embeddings; return the lowest cosine with the recorded ones.

        Raises:
            BundleError: the lowest cosine is below `SELF_TEST_COSINE`: on this machine the encoder does not
                compute what it computed where it was made.
        """
        images, golden = self.bundle.golden(model_format(self.engine))
        computed = np.stack([self.embed_image(image, name="golden image") for image in images])
        lowest = float(paired_cosine(computed, golden).min())
        # Written so that NaN fails too.
        if not lowest >= SELF_TEST_COSINE:
            raise BundleError(
                f"{self.bundle.folder}: self-test failed, {self.engine} {self.engine_version} reproduces the "
                f"golden embeddings with a cosine of {lowest:.4f}, the limit is {SELF_TEST_COSINE}; "
                "try another --engine"
            )
        return lowest
