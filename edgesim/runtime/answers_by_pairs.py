"""Known answers from a CSV file: which image shows which entry of the index, and which shows none."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.csv_rows import read_csv_rows
from edgesim.errors import ImageError, InputError
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.entry import entry_path
from edgesim.runtime.index import Index
from edgesim.runtime.known_answers import KnownAnswer, KnownAnswers, open_picture
from edgesim.runtime.scoring import Scoring

HEADER = ("query", "reference")


def answers_by_pairs(
    index: Index, embedder: Embedder, path: Path, scoring: Scoring, progress: bool = False
) -> KnownAnswers:
    """Look up the queries of a CSV file with the header `query,reference`.

    A row says that the image `query` shows the same as the image `reference`, which is in the index; with an
    empty reference, that nothing in the index shows the same. A query with several references has several
    rows, and the best of them counts. Paths are those of files, relative to the folder of the CSV file.

    Args:
        index: the open index.
        embedder: its encoder.
        path: of the CSV file.
        scoring: how scores are made.
        progress: show a progress bar if stderr is a terminal.

    Raises:
        InputError: no such CSV file; a reference that is not in the index, a query that cannot be decoded, a
            row that stands twice or contradicts another. The message names the line.
    """
    from tqdm import tqdm

    rows = _read(path)
    ids, vectors = index.vectors()
    columns = {int(entry_id): column for column, entry_id in enumerate(ids)}
    paths = {entry.entry_id: entry.path for entry in index.entries()}
    places = {query: _columns_of(index, columns, references) for query, references in rows.items()}
    positives, negatives = list[KnownAnswer](), list[KnownAnswer]()
    for query, references in tqdm(rows.items(), unit="query", disable=None if progress else True):
        vector = _embed(embedder, query, next(iter(references.values())))
        similarities = vectors @ vector
        known = places[query]
        column = known[int(np.argmax(similarities[known]))] if known else int(np.argmax(similarities))
        answer = KnownAnswer(
            score=float(similarities[column]) - float(scoring.offsets(vector[None])[0]),
            query=query,
            entry=paths[int(ids[column])],
            picture=functools.partial(open_picture, query),
        )
        (positives if known else negatives).append(answer)
    return KnownAnswers(positives=positives, negatives=negatives, source=f"the pairs of {path}")


def _read(path: Path) -> dict[str, dict[str, str]]:
    """Return query -> its references -> the place of the row; the reference of a query without is empty."""
    rows: dict[str, dict[str, str]] = {}
    for place, (query, reference) in read_csv_rows(path, HEADER):
        if not query:
            raise InputError(f"{place}: expected the path of a query, got none")
        name = entry_path(path.parent / query)
        shown = entry_path(path.parent / reference) if reference else ""
        known = rows.setdefault(name, {})
        if shown in known:
            raise InputError(f"{place}: {query},{reference} stands in an earlier line too; keep one of them")
        if known and (not shown or "" in known):
            raise InputError(
                f"{place}: {query} has a reference in one line and none in another; keep one of them"
            )
        known[shown] = place
    if not rows:
        raise InputError(f"{path}: expected a row for each query, got none")
    return rows


def _columns_of(index: Index, columns: dict[int, int], references: dict[str, str]) -> list[int]:
    """Return which rows of the index's vectors the references are."""
    found = []
    for reference, place in references.items():
        entry = index.find(reference) if reference else None
        if entry is not None:
            found.append(columns[entry.entry_id])
        elif reference:
            raise InputError(
                f"{place}: the reference {reference} is not in the index; "
                f"see: edgesim index list {index.folder}"
            )
    return found


def _embed(embedder: Embedder, query: str, place: str) -> NDArray[np.float32]:
    try:
        return embedder.embed_image(Path(query))
    except ImageError as error:
        raise InputError(f"{place}: {error}") from error
