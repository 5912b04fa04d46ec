"""Photos in, similar photos out: an index and the encoder that made it, together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgesim.builtin import DEFAULT_ENCODER, is_builtin
from edgesim.bundle import Bundle
from edgesim.errors import BundleError, IndexStoreError, UsageError
from edgesim.files import find_images
from edgesim.runtime.database import exists
from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.runtime.index import Index
from edgesim.runtime.match import Match
from edgesim.runtime.stored_scoring import StoredScoring

# Imported where they are used: most queries need none of them.
if TYPE_CHECKING:
    from PIL import Image

    from edgesim.runtime.ingest import AddReport
    from edgesim.runtime.keys import KeyEncoder, KeyModel
    from edgesim.runtime.label_filter import LabelFilter
    from edgesim.runtime.scoring import Scoring


class Matcher:
    """Adds images to an index and finds similar ones in it; for use in one thread.

        with Matcher(Path("parts"), create=True) as matcher:
            matcher.add([Path("photos")])
            best = matcher.query(Path("new.jpg"), k=1)[0]

    Args:
        folder: the index.
        encoder: `copy`, is it the same picture or item, edited? `similar`, has anything of this kind been
            seen? or the folder of a bundle; by default the one that the index was made with, and `copy` for
            a new one.
        engine: force an inference engine.
        create: let `add` make the index if there is none.
        read_only: write nothing; works on a read-only folder. Otherwise the encoder is tested first, so that
            no wrong vector is stored.

    Raises:
        IndexStoreError: there is no such index, or it is damaged; `EncoderMismatchError` if another encoder
            made it.
        BundleError: the bundle is unknown, missing or damaged, or fails its self-test.
        UsageError, MissingDependencyError: see `edgesim.runtime.engines.load_backend`.

    Attributes:
        embedder: the encoder in use.
    """

    def __init__(
        self,
        folder: Path,
        encoder: str | None = None,
        engine: str | None = None,
        create: bool = False,
        read_only: bool = False,
    ) -> None:
        self._folder = folder
        self._index: Index | None = None
        self._stored_scoring: StoredScoring | None = None
        if not create or exists(folder):
            self._index = Index.open(folder, read_only=read_only)
        try:
            bundle = self._bundle(encoder)
            if self._index is not None:
                self._index.facts.check_encoder(folder, bundle)
            self.embedder = Embedder(bundle, engine)
            if not read_only:
                self.embedder.self_test()
        except BaseException:
            self.close()
            raise

    def _bundle(self, name: str | None) -> Bundle:
        if self._index is None or name is not None:
            return open_bundle(name or DEFAULT_ENCODER)
        remembered = self._index.facts.bundle
        if not is_builtin(remembered) and not Path(remembered).exists():
            raise BundleError(
                f"{self._folder}: made with the bundle {remembered}, which is gone; pass --encoder with a "
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
        self,
        paths: Iterable[Path],
        labels: Mapping[str, str] | None = None,
        progress: bool = False,
        keys: KeyEncoder | None = None,
        jobs: int | None = None,
    ) -> AddReport:
        """Add images, and the images below folders; may be repeated, see `add_images`.

        Args:
            paths: files and folders.
            labels: see `add_images`.
            progress: show a progress bar if stderr is a terminal.
            keys: the key model that computes the vectors, in place of the encoder; always the same one.
            jobs: see `add_images`.

        Raises:
            InputError: a path that does not exist, or a folder without images.
            EncoderMismatchError: the index has vectors of another key model, or of none.
            UsageError: the embeddings of key model and encoder are not of one size.
        """
        self._key_model(keys)
        return self.add_files(find_images(paths), labels, progress, keys, jobs=jobs)

    def add_files(
        self,
        files: Sequence[Path],
        labels: Mapping[str, str] | None = None,
        progress: bool = False,
        keys: KeyEncoder | None = None,
        refresh_graph: bool = True,
        jobs: int | None = None,
    ) -> AddReport:
        """Add image files, see `add`; one that is gone is skipped as one that cannot be decoded is.

        With `refresh_graph` False the search graph of a large index stays behind until `Index.refresh_graph`.
        """
        from edgesim.runtime.ingest import add_images

        model = self._key_model(keys)
        if self._index is None:
            self._index = Index.create(self._folder, self.embedder.bundle, model)
        return add_images(
            self._index,
            keys or self.embedder,
            files,
            labels or {},
            progress,
            refresh_graph=refresh_graph,
            jobs=jobs,
        )

    def _key_model(self, keys: KeyEncoder | None) -> KeyModel | None:
        """Return what is to be remembered of the key model, or refuse it."""
        from edgesim.runtime.keys import KeyModel

        model = None if keys is None else KeyModel.of(keys)
        if self._index is not None:
            self._index.facts.check_keys(self._folder, model)
        if keys is None or model is None:
            return None
        bundle = self.embedder.bundle
        given, expected = keys.spec.embedding_dim, bundle.spec.embedding_dim
        if given != expected:
            raise UsageError(
                f"--keys: the key model {model.title} gives {given} numbers, the encoder {bundle.title} "
                f"{expected}; pass the key model that the encoder was trained on"
            )
        return model

    def query(
        self, image: Path | bytes | Image.Image, k: int = 5, where: str | LabelFilter | None = None
    ) -> list[Match]:
        """Return the `k` entries most similar to an image, best first; judged where the index is calibrated.

        With `where`, as in `line=3 and verdict!=ng`, of those whose labels satisfy it.

        Raises `ImageError`, and `UsageError` for a filter that is none.
        """
        vector = self.embedder.embed_image(image)
        matches, scoring = self.index.search(vector, k, where), self.scoring
        return matches if scoring is None else scoring.judge(vector, matches)

    @property
    def scoring(self) -> Scoring | None:
        """What the index knows about its scores now, None if it is not calibrated.

        Raises `IndexStoreError` if that is damaged.
        """
        if self._stored_scoring is None:
            self._stored_scoring = StoredScoring(self.index)
        return self._stored_scoring.current()
