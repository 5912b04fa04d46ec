"""An index's entries as one file, to be computed with elsewhere or taken into another index.

.npz          NumPy arrays, not compressed; everything that an index holds of its entries:
              format        "edgesim descriptors 1"
              facts         UTF-8 JSON as uint8: encoder_id, encoder_name, key_model (null, or name and id)
              ids           (N,) int64
              paths         (N,) bytes, absolute
              sha256        (N,) bytes, 64 hexadecimal digits
              size          (N,) int64, bytes
              mtime_ns      (N,) int64, nanoseconds since 1970
              labels        UTF-8 JSON as uint8: a list of N objects
              vectors       (N, D) float32, L2-normalised
.parquet      a table (edgesim.runtime.descriptor_parquet); everything, too
.h5, .hdf5    the file of the Image Similarity Challenge 2021 (edgesim.isc21): vectors and paths only
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError
from edgesim.files import write_atomic
from edgesim.isc21 import Descriptors, read_descriptors, write_descriptors
from edgesim.runtime.descriptor_rows import (
    FORMAT,
    UNKNOWN,
    DescriptorFile,
    check_entries,
    check_names,
    described,
    origin_from_dict,
    origin_to_dict,
)
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.store import EntryStore

SUFFIXES = (".npz", ".parquet", ".h5", ".hdf5")


def check_suffix(path: Path) -> None:
    """Raise `InputError` unless the name of a file of descriptors says which kind it is."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a name that ends with {', '.join(SUFFIXES)}")


def write_file(path: Path, store: EntryStore) -> int:
    """Write all entries of an index; return how many. The file is replaced at once or not at all.

    Raises:
        InputError: a name of another kind, or one for HDF5 or Parquet and a path that is not UTF-8.
        MissingDependencyError: h5py is not installed, for HDF5, or pyarrow, for Parquet.
        StorageError: the file cannot be written.
    """
    check_suffix(path)
    if path.suffix.lower() == ".parquet":
        from edgesim.runtime.descriptor_parquet import write_parquet

        return write_parquet(path, store)
    with store.snapshot():
        entries, (ids, vectors) = store.entries(), store.vectors()
    if path.suffix.lower() != ".npz":
        check_names(path, entries, "HDF5")
        write_descriptors(path, Descriptors(tuple(entry.path for entry in entries), vectors))
        return len(entries)
    arrays = {
        "format": np.array(FORMAT),
        "facts": _to_array(origin_to_dict(store.facts)),
        "ids": ids,
        "paths": np.array([os.fsencode(entry.path) for entry in entries], dtype=np.bytes_),
        "sha256": np.array([entry.sha256 for entry in entries], dtype=np.bytes_),
        "size": np.array([entry.size for entry in entries], dtype=np.int64),
        "mtime_ns": np.array([entry.mtime_ns for entry in entries], dtype=np.int64),
        "labels": _to_array([entry.labels for entry in entries]),
        "vectors": vectors,
    }
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    write_atomic(path, stream.getvalue())
    return len(entries)


def _to_array(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), dtype=np.uint8)


def read_file(path: Path) -> DescriptorFile:
    """Read what `write_file` wrote, or another program; nothing in the file is ever executed.

    Names that are no absolute paths are taken as relative to the working directory.

    Raises:
        InputError: the file is missing, damaged or of another form, a path stands twice, or a vector is not
            of length 1.
        MissingDependencyError: h5py is not installed, for HDF5, or pyarrow, for Parquet.
    """
    check_suffix(path)
    match path.suffix.lower():
        case ".npz":
            found = _read_npz(path)
        case ".parquet":
            from edgesim.runtime.descriptor_parquet import read_parquet

            found = read_parquet(path)
        case _:
            found = _read_hdf5(path)
    check_entries(path, found.parts)
    return found


def _read_hdf5(path: Path) -> DescriptorFile:
    descriptors = read_descriptors(path)
    rows = zip(descriptors.names, descriptors.vectors, strict=True)
    try:
        entries = [described(name, {}, vector.astype(np.float32), **UNKNOWN) for name, vector in rows]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return DescriptorFile(parts=[entries], dim=descriptors.vectors.shape[1])


def _read_npz(path: Path) -> DescriptorFile:
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is compressed; write it with numpy.savez")
        with np.load(path, allow_pickle=False) as arrays:
            return _from_arrays({name: arrays[name] for name in arrays.files})
    except OSError as error:
        if error.errno is None:
            raise InputError(f"{path}: expected descriptors as edgesim exports them ({error})") from error
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except KeyError as error:
        raise InputError(
            f"{path}: expected descriptors as edgesim exports them, {error} is missing"
        ) from error
    except _MALFORMED as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected descriptors as edgesim exports them ({reason})") from error


# What NumPy and zipfile raise for files that are not as they ought to be.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


def _from_arrays(arrays: dict[str, NDArray[Any]]) -> DescriptorFile:
    if arrays["format"].shape != () or str(arrays["format"]) != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    facts, labels = _from_json(arrays["facts"]), _from_json(arrays["labels"])
    vectors, count = arrays["vectors"], len(labels)
    if vectors.ndim != 2 or vectors.dtype != np.float32 or len(vectors) != count or vectors.shape[1] == 0:
        raise ValueError(f"vectors: expected float32 ({count}, D), got {vectors.dtype} {vectors.shape}")
    columns = {"paths": "S", "sha256": "S", "size": "i", "mtime_ns": "i"}
    for name, kind in columns.items():
        column = arrays[name]
        if column.shape != (count,) or (column.dtype.kind != kind and count):
            raise ValueError(f"{name}: expected one for each vector, got {column.dtype} {column.shape}")
    rows = zip(*(arrays[name].tolist() for name in columns), labels, vectors, strict=True)
    entries = [_entry(*row) for row in rows]
    return DescriptorFile(parts=[entries], dim=vectors.shape[1], **origin_from_dict(facts))


def _entry(
    path: bytes,
    sha256: bytes,
    size: int,
    mtime_ns: int,
    labels: dict[str, str],
    vector: NDArray[np.float32],
) -> NewEntry:
    if not all(isinstance(word, str) for word in (*labels.keys(), *labels.values())):
        raise ValueError("a label is no text")
    digest = sha256.decode("ascii")
    return described(os.fsdecode(path), labels, vector, sha256=digest, size=size, mtime_ns=mtime_ns)


def _from_json(array: NDArray[Any]) -> Any:
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"expected JSON as uint8, got {array.dtype} {array.shape}")
    return json.loads(array.tobytes().decode())
