"""Photos in, similar photos out: an index and the encoder that made it, together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from PIL import Image

from edgesim.builtin import BUILTIN
from edgesim.bundle import Bundle
from edgesim.errors import BundleError, IndexStoreError
from edgesim.files import find_images
from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.runtime.index import Index, Match
from edgesim.runtime.ingest import AddReport, add_images
from edgesim.runtime.store import exists


class Matcher:
    """Adds images to an index and finds similar ones in it; for use in one thread.

        with Matcher(Path("parts"), create=True) as matcher:
            matcher.add([Path("photos")])
            best = matcher.query(Path("new.jpg"), k=1)[0]

    Args:
        folder: the index.
        bundle: `builtin` or the folder of a bundle; by default the one that the index was made with, and
            `builtin` for a new one.
        engine: force an inference engine.
        create: let `add` make the index if there is none.
        read_only: write nothing; works on a read-only folder. Otherwise the encoder is tested first, so that
            no wrong vector is stored.

    Raises:
        IndexStoreError: there is no such index, or it is damaged; `EncoderMismatchError` if another encoder
            made it.
        BundleError: the bundle is missing or damaged, or fails its self-test.
        UsageError, MissingDependencyError: see `edgesim.runtime.engines.load_backend`.

    Attributes:
        embedder: the encoder in use.
    """

    def __init__(
        self,
        folder: Path,
        bundle: str | None = None,
        engine: str | None = None,
        create: bool = False,
        read_only: bool = False,
    ) -> None:
        self._folder = folder
        self._index: Index | None = None
        if exists(folder) or not create:
            self._index = Index.open(folder, read_only=read_only)
        try:
            loaded = self._bundle(bundle)
            if self._index is not None:
                self._index.facts.check_encoder(folder, loaded)
            self.embedder = Embedder(loaded, engine)
            if not read_only:
                self.embedder.self_test()
        except BaseException:
            self.close()
            raise

    def _bundle(self, name: str | None) -> Bundle:
        if self._index is None or name is not None:
            return open_bundle(name or BUILTIN)
        remembered = self._index.facts.bundle
        if remembered != BUILTIN and not Path(remembered).exists():
            raise BundleError(
                f"{self._folder}: made with the bundle {remembered}, which is gone; pass --bundle with a "
                f"bundle of the encoder {self._index.facts.title}"
            )
        return open_bundle(remembered)

    def close(self) -> None:
        """Close the index; the matcher cannot be used afterwards."""
        if self._index is not None:
            self._index.close()

    def __enter__(self) -> Matcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def index(self) -> Index:
        """The open index. Raises `IndexStoreError` as long as `create` has not been followed by `add`."""
        if self._index is None:
            raise IndexStoreError(f"{self._folder}: nothing has been added to this index yet")
        return self._index

    def add(
        self, paths: Iterable[Path], labels: Mapping[str, str] | None = None, progress: bool = False
    ) -> AddReport:
        """Add images, and the images below folders; may be repeated, see `add_images`.

        Raises `InputError` for a path that does not exist and for a folder without images.
        """
        images = find_images(paths)
        if self._index is None:
            self._index = Index.create(self._folder, self.embedder.bundle)
        return add_images(self._index, self.embedder, images, labels or {}, progress)

    def query(self, image: Path | bytes | Image.Image, k: int = 5) -> list[Match]:
        """Return the `k` entries most similar to an image, best first. Raises `ImageError`."""
        return self.index.search(self.embedder.embed_image(image), k)
