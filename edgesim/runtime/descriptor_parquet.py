"""An index's entries as a Parquet file, for pandas, DuckDB, Polars and the like; written and read in parts.

    id          int64
    path        string
    sha256      string, 64 hexadecimal digits
    size        int64, bytes
    mtime_ns    int64, nanoseconds since 1970
    label.KEY   string, one column for each key; null where an entry has no such label
    vector      fixed_size_list<float32>[D], L2-normalised

The file's metadata hold under `edgesim` whose vectors these are, as JSON. Of another program's file `path`
and `vector` are enough, a list of any kind with the same number of float32 in each row.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError, MissingDependencyError, UsageError, missing_dependency
from edgesim.files import replacing
from edgesim.runtime.descriptor_rows import (
    FORMAT,
    UNKNOWN,
    DescriptorFile,
    check_names,
    described,
    origin_from_dict,
    origin_to_dict,
)
from edgesim.runtime.entry import Entry, NewEntry, one_line
from edgesim.runtime.store import EntryStore

_METADATA = b"edgesim"
_LABEL = "label."
# So many entries are a row group, and in memory at a time.
_PART = 5_000
_COLUMNS = {"path": "string", "sha256": "string", "size": "int64", "mtime_ns": "int64"}


def require_pyarrow() -> Any:
    """Return the module pyarrow. Raises `MissingDependencyError`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "a Parquet file") from error
    except ImportError as error:  # it and NumPy do not fit together
        raise MissingDependencyError(f"a Parquet file needs pyarrow: {one_line(error)}") from error
    return pyarrow


def write_parquet(path: Path, store: EntryStore) -> int:
    """Write all entries of an index; return how many. The file is replaced at once or not at all.

    Raises:
        InputError: an entry's path is not UTF-8.
        MissingDependencyError: pyarrow is not installed.
        StorageError: the file cannot be written.
    """
    pyarrow = require_pyarrow()
    with store.snapshot():
        keys = store.label_keys()
        schema = _schema(pyarrow, store, keys)
        few_values = [f"{_LABEL}{key}" for key in keys]
        with (
            replacing(path) as stream,
            pyarrow.parquet.ParquetWriter(stream, schema, use_dictionary=few_values) as writer,
        ):
            for entries, vectors in store.parts(_PART):
                writer.write_table(_table(path, pyarrow, schema, keys, entries, vectors))
        return store.count()


def _schema(pyarrow: Any, store: EntryStore, keys: list[str]) -> Any:
    facts = {"format": FORMAT, **origin_to_dict(store.facts)}
    fields = [
        ("id", pyarrow.int64()),
        *((name, pyarrow.type_for_alias(kind)) for name, kind in _COLUMNS.items()),
        *((f"{_LABEL}{key}", pyarrow.string()) for key in keys),
        ("vector", pyarrow.list_(pyarrow.float32(), store.facts.spec.embedding_dim)),
    ]
    return pyarrow.schema(fields, metadata={_METADATA: json.dumps(facts)})


def _table(
    path: Path, pyarrow: Any, schema: Any, keys: list[str], entries: list[Entry], vectors: NDArray[np.float32]
) -> Any:
    check_names(path, entries, "Parquet")
    columns = [
        [entry.entry_id for entry in entries],
        *([getattr(entry, name) for entry in entries] for name in _COLUMNS),
        *([entry.labels.get(key) for entry in entries] for key in keys),
    ]
    arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=False)]
    arrays.append(pyarrow.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1]))
    return pyarrow.table(arrays, schema=schema)


def read_parquet(path: Path) -> DescriptorFile:
    """Open a file; its parts are read when they are gone through.

    Raises:
        InputError: it is missing, no Parquet file, damaged or of another form; also while its parts are read.
        MissingDependencyError: pyarrow is not installed.
    """
    pyarrow = require_pyarrow()
    with _refused(path, pyarrow):
        file = pyarrow.parquet.ParquetFile(path)
        schema = file.schema_arrow
        missing = {"path", "vector"} - set(schema.names)
        if missing:
            raise ValueError(f"no column {' and '.join(sorted(missing))} among {', '.join(schema.names)}")
        if len(set(schema.names)) < len(schema.names):
            raise ValueError("two columns of one name")
        parts = _Parts(path, pyarrow, file)
        facts = json.loads((schema.metadata or {}).get(_METADATA, b"null"))
        if facts is None:
            return DescriptorFile(parts=parts, dim=parts.dim)
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        return DescriptorFile(parts=parts, dim=parts.dim, **origin_from_dict(facts))


class _Parts:
    """The entries of an open file, some at a time."""

    def __init__(self, path: Path, pyarrow: Any, file: Any) -> None:
        self._path, self._pyarrow, self._file = path, pyarrow, file
        names = file.schema_arrow.names
        self._labels = [name for name in names if name.startswith(_LABEL)]
        self._plain = [name for name in names if name in _COLUMNS]
        first = next(self._batches(1), None)
        vector = file.schema_arrow.field("vector").type
        if first is not None:
            self.dim = self._vectors(first).shape[1]
        else:
            self.dim = vector.list_size if pyarrow.types.is_fixed_size_list(vector) else 0

    def __iter__(self) -> Iterator[list[NewEntry]]:
        with _refused(self._path, self._pyarrow):
            for batch in self._batches(_PART):
                yield self._entries(batch)

    def _batches(self, size: int) -> Iterator[Any]:
        return iter(self._file.iter_batches(size, columns=[*self._plain, *self._labels, "vector"]))

    def _entries(self, batch: Any) -> list[NewEntry]:
        vectors = self._vectors(batch)
        if vectors.shape[1] != self.dim:
            raise ValueError(f"vector: expected {self.dim} numbers in each row, got {vectors.shape[1]}")
        rows = {name: self._column(batch, name, _COLUMNS[name]) for name in self._plain}
        labels = {name.removeprefix(_LABEL): self._column(batch, name, "string") for name in self._labels}
        for name, values in rows.items():
            if None in values:
                raise ValueError(f"{name}: expected a value in each row, got null")
        entries = []
        for row, vector in enumerate(vectors):
            facts: dict[str, Any] = UNKNOWN | {name: values[row] for name, values in rows.items()}
            own = {key: values[row] for key, values in labels.items() if values[row] is not None}
            entries.append(described(labels=own, vector=vector, **facts))
        return entries

    def _column(self, batch: Any, name: str, kind: str) -> list[Any]:
        # Also of dictionaries and large strings; raises if a value does not fit.
        values: list[Any] = batch.column(name).cast(self._pyarrow.type_for_alias(kind)).to_pylist()
        return values

    def _vectors(self, batch: Any) -> NDArray[np.float32]:
        """Return the vectors (N, D) of a batch."""
        column, types = batch.column("vector"), self._pyarrow.types
        lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
        if not any(is_list(column.type) for is_list in lists) or not types.is_float32(column.type.value_type):
            raise ValueError(f"vector: expected lists of float32, got {column.type}")
        numbers = column.flatten()  # leaves out nulls
        lengths = set(self._pyarrow.compute.list_value_length(column).to_pylist())
        if len(lengths) != 1 or not (length := lengths.pop()) or numbers.null_count:
            raise ValueError("vector: expected as many numbers in each row, and no nulls")
        vectors: NDArray[np.float32] = numbers.to_numpy(zero_copy_only=False).reshape(-1, length)
        return vectors


@contextlib.contextmanager
def _refused(path: Path, pyarrow: Any) -> Iterator[None]:
    """Turn what pyarrow and we say about a file into one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: cannot be read (no such file)") from error
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"{path}: cannot be read ({os.strerror(error.errno)})") from error
        raise InputError(f"{path}: expected a Parquet file, got another or a damaged one") from error
    except pyarrow.ArrowException as error:
        reason = one_line(str(error).split("\n")[0])
        raise InputError(f"{path}: expected a Parquet file of descriptors ({reason})") from error
    except (ValueError, KeyError, TypeError, UsageError, MemoryError, OverflowError) as error:
        raise InputError(
            f"{path}: expected descriptors as edgesim exports them ({one_line(error)})"
        ) from error
