"""The demonstration: real photographs into an index, edited copies of them looked up, and what was found."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from edgesim.builtin import DEFAULT_ENCODER
from edgesim.contact_sheet import Pair, Row, draw_contact_sheet
from edgesim.edits import EDITS, edited_copy
from edgesim.errors import UsageError
from edgesim.preprocess import decode_image
from edgesim.runtime.matcher import Matcher
from edgesim.sample_photos import sample_photos

INDEX = "index"
QUERIES = "queries"
SHEET = "contact-sheet.png"
# Its presence says that the folder is ours to write into again.
MARKER = ".edgesim-demo"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoQuery:
    """One edited copy, and what was found for it.

    Attributes:
        photo: the photograph that the copy was made of.
        edit: a key of `edgesim.edits.EDITS`.
        query: the file of the copy.
        match: the nearest entry of the index.
        similarity: cosine between the two embeddings.
        milliseconds: wall time of the query: decoding, embedding and search.
    """

    photo: Path
    edit: str
    query: Path
    match: Path
    similarity: float
    milliseconds: float

    @property
    def right(self) -> bool:
        """Whether the photograph itself was found."""
        return self.match.name == self.photo.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What a demonstration found.

    Attributes:
        encoder: name and identity of the encoder.
        engine: the inference engine that ran it.
        queries: every edit of the first photograph, then of the second and so on.
        index: folder of the index that was made.
        contact_sheet: file of the contact sheet.
    """

    encoder: str
    engine: str
    queries: list[DemoQuery]
    index: Path
    contact_sheet: Path

    @property
    def found(self) -> int:
        """Number of queries for which the right photograph was found."""
        return sum(query.right for query in self.queries)

    def of_edit(self, edit: str) -> list[DemoQuery]:
        """Return the queries that were made by one edit."""
        return [query for query in self.queries if query.edit == edit]


class _Copy(NamedTuple):
    photo: Path
    edit: str
    path: Path


def run_demo(
    out: Path, encoder: str = DEFAULT_ENCODER, engine: str | None = None, progress: bool = False
) -> DemoResult:
    """Add the sample photographs to a new index in `out`, look up six edited copies of each, draw the sheet.

    Args:
        out: a new or empty folder, or one that an earlier demonstration made: its results are replaced.
        encoder: the name of a built-in encoder, or the folder of a bundle.
        engine: force an inference engine.
        progress: show a progress bar if stderr is a terminal.

    Raises:
        UsageError: `out` holds something else; an unknown engine.
        MissingDependencyError: the packages with the photographs, or all inference engines, are missing.
        BundleError: no such encoder, or it is damaged.
        StorageError: the disk is full or read-only.
    """
    photos = sample_photos("edgesim demo")
    _prepare(out)
    copies = _write_copies(photos, out / QUERIES)
    with Matcher(out / INDEX, encoder, engine, create=True) as matcher:
        matcher.add(photos)
        queries = [_look_up(matcher, copy) for copy in _with_progress(copies, progress)]
        title, engine = matcher.embedder.bundle.title, matcher.embedder.engine
    result = DemoResult(
        encoder=title, engine=engine, queries=queries, index=out / INDEX, contact_sheet=out / SHEET
    )
    _contact_sheet(result).save(result.contact_sheet)
    return result


def _prepare(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; choose a folder with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).exists():
        raise UsageError(
            f"{out}: is not empty and was not made by edgesim demo; choose another folder with --out"
        )
    (out / QUERIES).mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("Made by edgesim demo, which replaces what it made when it is run again.\n")
    if (out / INDEX).exists():
        shutil.rmtree(out / INDEX)


def _write_copies(photos: list[Path], folder: Path) -> list[_Copy]:
    images = [decode_image(photo) for photo in photos]
    copies: list[_Copy] = []
    for number, (photo, image) in enumerate(zip(photos, images, strict=True)):
        background = images[(number + 1) % len(images)]
        for edit in EDITS:
            path = folder / f"{photo.stem}-{edit}.jpg"
            edited_copy(image, edit, len(copies), background).save(path, quality=90)
            copies.append(_Copy(photo, edit, path))
    return copies


def _with_progress(copies: list[_Copy], progress: bool) -> Iterable[_Copy]:
    if not progress:
        return copies
    from tqdm import tqdm

    return tqdm(copies, unit="query", disable=None)


def _look_up(matcher: Matcher, copy: _Copy) -> DemoQuery:
    start = time.perf_counter()
    best = matcher.query(copy.path, k=1)[0]
    elapsed = time.perf_counter() - start
    return DemoQuery(
        photo=copy.photo,
        edit=copy.edit,
        query=copy.path,
        match=Path(best.path),
        similarity=best.similarity,
        milliseconds=1000 * elapsed,
    )


def _contact_sheet(result: DemoResult) -> Image.Image:
    """Draw one query of each photograph, the edits in turn whatever was found, and then the first misses."""
    rows = []
    for number, edit in enumerate(EDITS):
        queries = result.of_edit(edit)
        found = sum(query.right for query in queries)
        pairs = [_pair(query, query.photo.stem) for query in queries[number :: len(EDITS)]]
        rows.append(Row(heading=edit, note=f"found {found} of {len(queries)}", pairs=pairs))
    if misses := [query for query in result.queries if not query.right]:
        shown = [_pair(query, query.query.stem) for query in misses[: len(rows[0].pairs)]]
        rows.append(Row(heading="missed", note=f"{len(shown)} of {len(misses)} shown", pairs=shown))
    return draw_contact_sheet(
        f"edgesim demo: found {result.found} of {len(result.queries)} edited copies",
        f"encoder {result.encoder}, {result.engine}; one edited copy of each photograph is shown",
        rows,
    )


def _pair(query: DemoQuery, caption: str) -> Pair:
    return Pair(
        query=query.query,
        match=query.match,
        query_caption=caption,
        match_caption=query.match.stem,
        score=query.similarity,
        right=query.right,
    )
