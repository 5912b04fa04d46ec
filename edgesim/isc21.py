"""The files of the Image Similarity Challenge 2021: descriptors, predictions and ground truth.

Whoever has its data set DISC21 (Douze et al. 2021, arXiv 2106.09672) can score an encoder with these.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.copy_metrics import Predictions, copy_detection_metrics
from edgesim.csv_rows import read_csv_rows
from edgesim.errors import InputError, missing_dependency
from edgesim.files import write_atomic
from edgesim.metrics import FloatArray

# Names of a query and a reference.
Pair = tuple[str, str]

VECTORS, NAMES = "vectors", "image_names"
_TRUTH_HEADER = ["query_id", "reference_id"]
_PREDICTIONS_HEADER = [*_TRUTH_HEADER, "score"]


@dataclass(frozen=True)
class Descriptors:
    """Embeddings of named images.

    names: N, each once, such as Q00001 or R000001.
    vectors: (N, D) float32.
    """

    names: tuple[str, ...]
    vectors: FloatArray


@dataclass(frozen=True)
class Truth:
    """Which queries were made from which references.

    queries: all of them, those without a match too.
    pairs: one at least.
    """

    queries: frozenset[str]
    pairs: frozenset[Pair]


def require_h5py(purpose: str) -> ModuleType:
    """Return the module h5py. Raises `MissingDependencyError`, which says what needs it: `purpose`."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise missing_dependency(error, purpose) from error
    module: ModuleType = h5py
    return module


def write_descriptors(path: Path, descriptors: Descriptors, limit: int | None = None) -> None:
    """Write descriptors as HDF5: `vectors` (N, D) float32 and `image_names` (N,), UTF-8.

    Args:
        path: the file, replaced at once or not at all.
        descriptors: what to write.
        limit: the largest D allowed; the challenge allows 256. None: any.

    Raises:
        InputError: D is above the limit.
        MissingDependencyError: h5py is not installed.
        StorageError: the file cannot be written.
    """
    h5py = require_h5py("writing descriptors")
    dimensions = descriptors.vectors.shape[1]
    if limit is not None and dimensions > limit:
        raise InputError(
            f"{path}: expected descriptors of at most {limit} dimensions, got {dimensions}; "
            "choose an encoder with fewer, or write without the limit"
        )
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset(VECTORS, data=descriptors.vectors.astype(np.float32))
        file.create_dataset(NAMES, data=list(descriptors.names), dtype=h5py.string_dtype())
    write_atomic(path, stream.getvalue())


def read_descriptors(path: Path) -> Descriptors:
    """Read what `write_descriptors` wrote, or another program; names may also be of fixed length.

    Raises:
        InputError: the file is missing or damaged, a dataset is missing or of another dtype or shape, there
            is no row, a name stands twice, or a value is not finite.
        MissingDependencyError: h5py is not installed.
    """
    h5py = require_h5py("reading descriptors")
    try:
        with h5py.File(path, "r") as file:
            vectors = _dataset(h5py, file, path, VECTORS, "float32 (N, D)")
            names = _dataset(h5py, file, path, NAMES, "strings (N,)")
            _check_form(h5py, path, vectors, names)
            descriptors = Descriptors(tuple(names.asstr()[:]), vectors[:])
    except (OSError, UnicodeDecodeError) as error:
        # HDF5 itself gives no number: whatever is wrong with the content, its own words help nobody.
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path}: cannot be read ({os.strerror(error.errno)})") from error
        raise InputError(f"{path}: expected an HDF5 file, got another or a damaged one") from error
    _check_content(path, descriptors)
    return descriptors


def named_pairs(
    predictions: Predictions, query_names: Sequence[str], reference_names: Sequence[str]
) -> dict[Pair, float]:
    """Return the score of each predicted pair by its names, in the order of the predictions.

    Args:
        predictions: numbers are places in the two sequences of names.
        query_names: Q.
        reference_names: R.
    """
    numbers = zip(predictions.queries.tolist(), predictions.references.tolist(), strict=True)
    pairs = ((query_names[query], reference_names[reference]) for query, reference in numbers)
    return dict(zip(pairs, predictions.scores.tolist(), strict=True))


def write_predictions(path: Path, predictions: Mapping[Pair, float]) -> None:
    """Write predictions as CSV with the header `query_id,reference_id,score`, scores without loss.

    The file is replaced at once or not at all. Raises `StorageError`.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_PREDICTIONS_HEADER)
    writer.writerows((query, reference, score) for (query, reference), score in predictions.items())
    write_atomic(path, stream.getvalue().encode())


def read_predictions(path: Path, queries: Collection[str]) -> dict[Pair, float]:
    """Read predictions from CSV with the header `query_id,reference_id,score`.

    Args:
        path: the file.
        queries: all there are, those without a match too.

    Returns:
        The score of each predicted pair; larger is more alike.

    Raises:
        InputError: the file is missing or no such CSV, a score is not a finite number, a pair stands twice,
            or a query is not among `queries`.
    """
    predictions: dict[Pair, float] = {}
    for place, (query, reference, text) in read_csv_rows(path, _PREDICTIONS_HEADER):
        if query not in queries:
            raise InputError(
                f"{place}: query {query!r} is not in the ground truth; "
                "add it there, with an empty reference_id if it has no match"
            )
        if not reference:
            raise InputError(f"{place}: expected a reference_id, got none; leave the line out")
        if (query, reference) in predictions:
            raise InputError(f"{place}: {query},{reference} stands in an earlier line too; keep one of them")
        predictions[query, reference] = _score(place, text)
    return predictions


def write_truth(path: Path, truth: Truth) -> None:
    """Write a ground truth as CSV, sorted, queries without a match with an empty `reference_id`.

    The file is replaced at once or not at all. Raises `StorageError`.
    """
    matched = {query for query, _ in truth.pairs}
    rows = sorted([*truth.pairs, *((query, "") for query in truth.queries - matched)])
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_TRUTH_HEADER)
    writer.writerows(rows)
    write_atomic(path, stream.getvalue().encode())


def read_truth(path: Path) -> Truth:
    """Read a ground truth from CSV with the header `query_id,reference_id`.

    A row with an empty `reference_id` is a query without a match; a query with several has several rows.

    Raises:
        InputError: the file is missing or no such CSV, a row stands twice, or no row is a pair.
    """
    rows: set[Pair] = set()
    for place, (query, reference) in read_csv_rows(path, _TRUTH_HEADER):
        if not query:
            raise InputError(f"{place}: expected a query_id, got none")
        if (query, reference) in rows:
            raise InputError(f"{place}: {query},{reference} stands in an earlier line too; keep one of them")
        rows.add((query, reference))
    pairs = frozenset(row for row in rows if row[1])
    if not pairs:
        raise InputError(f"{path}: expected one query with a reference_id at least, got none")
    return Truth(frozenset(query for query, _ in rows), pairs)


def score(predictions: Mapping[Pair, float], truth: Truth) -> dict[str, float]:
    """Return the metrics of `edgesim.copy_metrics.copy_detection_metrics` for named pairs."""
    pairs = [*predictions, *truth.pairs]
    numbers = np.stack([_numbers(query for query, _ in pairs), _numbers(name for _, name in pairs)], axis=1)
    predicted, true = np.split(numbers, [len(predictions)])
    scores = np.array(list(predictions.values()), dtype=np.float64)
    return copy_detection_metrics(Predictions(predicted[:, 0], predicted[:, 1], scores), true)


def _dataset(h5py: ModuleType, file: Any, path: Path, name: str, form: str) -> Any:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{path}: expected a dataset {name} of {form}, got {', '.join(file) or 'nothing'}")
    return dataset


def _check_form(h5py: ModuleType, path: Path, vectors: Any, names: Any) -> None:
    """Raise `InputError` unless the datasets have the right dtypes and shapes, and rows at all."""
    if vectors.dtype != np.float32 or vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(
            f"{path}: expected {VECTORS} of float32 (N, D), N and D 1 at least, "
            f"got {vectors.dtype} {vectors.shape}; write them in this form"
        )
    if h5py.check_string_dtype(names.dtype) is None or names.shape != vectors.shape[:1]:
        raise InputError(
            f"{path}: expected {NAMES} of strings ({len(vectors)},), one for each row of {VECTORS}, "
            f"got {names.dtype} {names.shape}; write them in this form"
        )


def _check_content(path: Path, descriptors: Descriptors) -> None:
    """Raise `InputError` for a name that stands twice and for values that are not finite."""
    known: set[str] = set()
    for name, finite in zip(descriptors.names, np.isfinite(descriptors.vectors).all(axis=1), strict=True):
        if name in known:
            raise InputError(f"{path}: expected each image once in {NAMES}, got {name!r} twice")
        if not finite:
            raise InputError(
                f"{path}: expected finite numbers in {VECTORS}, got NaN or infinity for {name!r}"
            )
        known.add(name)


def _score(place: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place}: expected a finite number as score, got {text!r}")
    return value


def _numbers(names: Iterable[str]) -> NDArray[np.int64]:
    """Return the same number for the same name, as (N,)."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)
