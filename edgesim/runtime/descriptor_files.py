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
.h5, .hdf5    the file of the Image Similarity Challenge 2021 (edgesim.isc21): vectors and paths only
"""

from __future__ import annotations

import dataclasses
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
from edgesim.runtime.entry import NewEntry, check_labels, entry_path
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.keys import KeyModel
from edgesim.runtime.reader import normalised
from edgesim.runtime.store import EntryStore

FORMAT = "edgesim descriptors 1"
SUFFIXES = (".npz", ".h5", ".hdf5")
# What an entry has whose file nobody has looked at: adding the image computes its vector anew.
_UNKNOWN = {"sha256": "0" * 64, "size": 0, "mtime_ns": 0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescriptorFile:
    """What a file of descriptors holds.

    Attributes:
        entries: each with a vector, under an absolute path that no other has.
        dim: D of the vectors.
        encoder_id: of the encoder of the index that it came from; None in a file that does not say.
        keys: the key model that the vectors come from, None for the encoder itself.
    """

    entries: list[NewEntry]
    dim: int
    encoder_id: str | None = None
    keys: KeyModel | None = None


def check_suffix(path: Path) -> None:
    """Raise `InputError` unless the name of a file of descriptors says which kind it is."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a name that ends with {', '.join(SUFFIXES)}")


def write_file(path: Path, store: EntryStore) -> int:
    """Write all entries of an index; return how many. The file is replaced at once or not at all.

    Raises:
        InputError: a name of another kind, or one for HDF5 and a path that is not UTF-8.
        MissingDependencyError: h5py is not installed, for HDF5.
        StorageError: the file cannot be written.
    """
    check_suffix(path)
    with store.snapshot():
        entries, (ids, vectors) = store.entries(), store.vectors()
    if path.suffix.lower() != ".npz":
        for entry in entries:
            if os.fsencode(entry.path) != entry.path.encode(errors="replace"):
                raise InputError(f"{path}: HDF5 takes names in UTF-8, not {entry.path!r}; export as .npz")
        write_descriptors(path, Descriptors(tuple(entry.path for entry in entries), vectors))
        return len(entries)
    arrays = {
        "format": np.array(FORMAT),
        "facts": _to_array(_facts(store.facts)),
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


def _facts(facts: IndexFacts) -> dict[str, Any]:
    keys = None if facts.keys is None else {"name": facts.keys.name, "id": facts.keys.encoder_id}
    return {"encoder_id": facts.encoder_id, "encoder_name": facts.spec.name, "key_model": keys}


def _to_array(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), dtype=np.uint8)


def read_file(path: Path) -> DescriptorFile:
    """Read what `write_file` wrote, or another program; nothing in the file is ever executed.

    Names that are no absolute paths are taken as relative to the working directory.

    Raises:
        InputError: the file is missing, damaged or of another form, a path stands twice, or a vector is not
            of length 1.
        MissingDependencyError: h5py is not installed, for HDF5.
    """
    check_suffix(path)
    if path.suffix.lower() == ".npz":
        found = _read_npz(path)
    else:
        descriptors = read_descriptors(path)
        facts = [_UNKNOWN | {"path": name, "labels": {}} for name in descriptors.names]
        found = _described(facts, descriptors.vectors)
    known: set[str] = set()
    for entry in found.entries:
        if entry.path in known:
            raise InputError(f"{path}: expected each path once, got {entry.path!r} twice")
        known.add(entry.path)
    vectors = np.array([entry.vector for entry in found.entries], dtype=np.float32)
    if found.entries and not normalised(vectors):
        raise InputError(f"{path}: expected vectors of length 1, got others; divide each by its length")
    return found


def _described(facts: list[dict[str, Any]], vectors: NDArray[np.float32], **more: Any) -> DescriptorFile:
    entries = [
        NewEntry(**{**fact, "path": entry_path(fact["path"])}, vector=vector)
        for fact, vector in zip(facts, vectors, strict=True)
    ]
    return DescriptorFile(entries=entries, dim=vectors.shape[1], **more)


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
    rows = zip(*(arrays[name].tolist() for name in columns), labels, strict=True)
    keys = facts["key_model"]
    return _described(
        [_fact(*row) for row in rows],
        vectors,
        encoder_id=str(facts["encoder_id"]),
        keys=None if keys is None else KeyModel(str(keys["name"]), str(keys["id"])),
    )


def _fact(path: bytes, sha256: bytes, size: int, mtime_ns: int, labels: dict[str, str]) -> dict[str, Any]:
    if not path:
        raise ValueError("a path is empty")
    if not all(isinstance(word, str) for word in (*labels.keys(), *labels.values())):
        raise ValueError("a label is no text")
    check_labels(labels)
    if len(sha256) != 64:
        raise ValueError(f"sha256: expected 64 digits, got {len(sha256)}")
    return {
        "path": os.fsdecode(path),
        "sha256": sha256.decode("ascii"),
        "size": size,
        "mtime_ns": mtime_ns,
        "labels": labels,
    }


def _from_json(array: NDArray[Any]) -> Any:
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError(f"expected JSON as uint8, got {array.dtype} {array.shape}")
    return json.loads(array.tobytes().decode())
