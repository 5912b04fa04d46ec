"""Known answers from an index alone: edited copies of its images, and its images among all others.

Positives: of each image one edited copy, the edits in turn; its match is the image. Negatives: each image
is looked up among the images of another content. Exact copies are told by their SHA-256; two pictures of the
same thing that are no exact copies count as a false alarm, and are shown on the page of a calibration.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesim.edits import EDITS, edited_copy
from edgesim.errors import ImageError, InputError, UsageError
from edgesim.preprocess import decode_image
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.entry import Entry
from edgesim.runtime.index import Index
from edgesim.runtime.known_answers import KnownAnswer, KnownAnswers, open_picture
from edgesim.runtime.normalisation import evenly_spread
from edgesim.runtime.scoring import Scoring
from edgesim.thresholds import Aims, negatives_needed, require_scores

# How many images are copied and edited, and looked up among the others, unless the rate asked for takes more.
# Our choice: a Raspberry Pi edits and embeds ten a second.
MAX_COPIES = 1_000
MAX_LOOKED_UP = 10_000
# Two images that are each other's nearest are one observation seen twice, and in the tail that decides nearly
# all are. With full weight the promises hold less often than the confidence says; a test simulates both.
WEIGHT = 0.5
# How many times the encoder's input a picture is decoded to before it is edited: a crop keeps 60 % of it.
_EDITED_SIZE = 4
_BLOCK = 256


def answers_by_edits(
    index: Index, embedder: Embedder, aims: Aims, scoring: Scoring, progress: bool = False
) -> KnownAnswers:
    """Return the answers of edited copies and of the images themselves.

    Args:
        index: the open index.
        embedder: its encoder.
        aims: which rates are to be shown; with too few images for them nothing is computed.
        scoring: how scores are made.
        progress: show a progress bar if stderr is a terminal.

    Raises:
        UsageError: there are too few images for the aims, or the vectors come from a key model.
        InputError: the files of so many entries are gone or changed that too few are left.
    """
    if index.facts.keys is not None:
        raise UsageError(
            f"{index.folder}: --augment compares entries with entries, and here those are vectors of the key "
            "model; calibrate with --pairs"
        )
    entries = _distinct(index.entries())
    copied = evenly_spread(entries, MAX_COPIES)
    require_scores(len(copied), len(entries), WEIGHT, aims)
    negatives = _looked_up(index, entries, max(MAX_LOOKED_UP, negatives_needed(aims, WEIGHT)), scoring)
    positives = _copies(index, embedder, copied, scoring, progress)
    notes = []
    if (same := len(index) - len(entries)) > 0:
        notes.append(f"{same:,} entries are exact copies of others and were left out.")
    if (unread := len(copied) - len(positives)) > 0:
        notes.append(f"Of {len(copied):,} image files {unread:,} are gone or changed and were left out.")
        _require_files(index, len(positives), len(copied), aims)
    source = (
        f"edited copies of {len(positives):,} of its images, and {len(negatives):,} of its images looked up "
        "among the others"
    )
    return KnownAnswers(
        positives=positives, negatives=negatives, weight=WEIGHT, source=source, notes=tuple(notes)
    )


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    """Return the first entry of each content."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.sha256, entry)
    return list(found.values())


def _require_files(index: Index, read: int, asked: int, aims: Aims) -> None:
    try:
        require_scores(read, None, 1.0, aims)
    except UsageError as error:
        raise InputError(
            f"{index.folder}: {read:,} of {asked:,} image files could be read, the others are gone or have "
            f"changed since they were added; {error}"
        ) from error


def _looked_up(index: Index, distinct: list[Entry], most: int, scoring: Scoring) -> list[KnownAnswer]:
    """Look entries up among those of another content, of which there is one at least."""
    ids, vectors = index.vectors()
    entries = {entry.entry_id: entry for entry in index.entries()}
    contents = np.array([entries[entry_id].sha256 for entry_id in ids.tolist()])
    column = {entry_id: number for number, entry_id in enumerate(ids.tolist())}
    chosen = np.array([column[entry.entry_id] for entry in evenly_spread(distinct, most)])
    answers = []
    for rows, best, similarities in _nearest_others(vectors, contents, chosen):
        scores = similarities - scoring.offsets(vectors[rows])
        for row, other, score in zip(rows, best, scores.tolist(), strict=True):
            query = entries[int(ids[row])].path
            picture = functools.partial(open_picture, query)
            entry = entries[int(ids[other])].path
            answers.append(KnownAnswer(score=score, query=query, entry=entry, picture=picture))
    return answers


def _nearest_others(
    vectors: NDArray[np.float32], contents: NDArray[np.str_], rows: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]]:
    """Yield rows, for each the most similar row of another content, and their similarity; in blocks."""
    _, numbers = np.unique(contents, return_inverse=True)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        similarity = vectors[block] @ vectors.T
        similarity[numbers[block][:, None] == numbers] = -np.inf
        best = similarity.argmax(axis=1)
        yield block, best, similarity[np.arange(len(block)), best]


def _copies(
    index: Index, embedder: Embedder, entries: list[Entry], scoring: Scoring, progress: bool
) -> list[KnownAnswer]:
    """Look an edited copy of each entry up; those whose file is gone or has changed are passed over."""
    from tqdm import tqdm

    ids, vectors = index.vectors()
    size = _EDITED_SIZE * embedder.bundle.spec.input_size
    names, answers = list(EDITS), list[KnownAnswer]()
    last: tuple[Entry, Image.Image] | None = None
    for number, entry in enumerate(
        tqdm(entries, desc="edited copies", unit="image", disable=None if progress else True)
    ):
        image = _unchanged(entry, size)
        if image is None:
            continue
        edit = names[len(answers) % len(names)]
        # `paste` lays it over the picture before it.
        behind, background = (entry, image) if last is None else last
        vector = embedder.embed_image(edited_copy(image, edit, number, background))
        similarity = float(vectors[np.searchsorted(ids, entry.entry_id)] @ vector)
        answers.append(
            KnownAnswer(
                score=similarity - float(scoring.offsets(vector[None])[0]),
                query=f"{Path(entry.path).name}, {edit}",
                entry=entry.path,
                picture=functools.partial(_edited_again, entry, edit, number, behind, size),
            )
        )
        last = entry, image
    return answers


def _unchanged(entry: Entry, size: int) -> Image.Image | None:
    """Return the picture of an entry, None if its file is gone or holds something else now."""
    try:
        content = Path(entry.path).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        return None
    return decode_image(content, min_side=size, name=entry.path)


def _edited_again(entry: Entry, edit: str, seed: int, behind: Entry, size: int) -> Image.Image:
    """Return the edited copy once more: to keep all of them would take too much memory."""
    image, background = _unchanged(entry, size), _unchanged(behind, size)
    if image is None or background is None:
        raise ImageError(f"{entry.path}: gone or changed meanwhile")
    return edited_copy(image, edit, seed, background)
