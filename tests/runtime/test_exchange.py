"""Export, import and merge: nothing is lost on the way, nothing foreign or malformed gets in."""

import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import EncoderMismatchError, IndexStoreError, InputError, UsageError
from edgesim.isc21 import read_descriptors
from edgesim.runtime.descriptor_files import read_file, write_file
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.index import Index
from edgesim.runtime.keys import KeyModel
from edgesim.runtime.merging import import_file, merge_indexes
from edgesim.runtime.verify import verify_index
from tests.helpers import DIM
from tests.runtime.index_entries import new_entry, unit_vectors

VECTORS = unit_vectors(8)
LATIN_1 = b"/a/caf\xe9.png".decode("utf-8", "surrogateescape")


def make(folder: Path, bundle: Bundle, entries: list[NewEntry], keys: KeyModel | None = None) -> Path:
    with Index.create(folder, bundle, keys) as index:
        index.add(entries)
    return folder


def content(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything an index holds of its entries, apart from their ids."""
    assert verify_index(folder).damage == []
    with Index.open(folder, read_only=True) as index:
        vectors = dict(zip(*index.vectors(), strict=True))
        return {
            e.path: (e.sha256, e.size, e.mtime_ns, e.labels, vectors[e.entry_id].tobytes())
            for e in index.entries()
        }


@pytest.fixture
def parts(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    entries = [
        new_entry(LATIN_1, VECTORS[0], labels={"Größe": "ä 'b'", "": ""}, mtime_ns=2**62, size=2**40),
        new_entry("/a/1.png", VECTORS[1], sha256="ab" * 32),
        new_entry("/a/2.png", VECTORS[2], labels={"line": "3"}),
    ]
    return make(tmp_path / "parts", tiny_bundle, entries)


@pytest.fixture
def exported(parts: Path, tmp_path: Path) -> Path:
    with Index.open(parts, read_only=True) as index:
        assert write_file(tmp_path / "parts.npz", index._store) == 3
    return tmp_path / "parts.npz"


def test_npz_and_back(parts: Path, exported: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    report = import_file(tmp_path / "new", exported, str(tiny_bundle.folder))
    assert vars(report) == {"added": 3, "replaced": 0, "kept": 0}
    assert content(tmp_path / "new") == content(parts)
    assert vars(import_file(tmp_path / "new", exported)) == {"added": 0, "replaced": 0, "kept": 3}
    # As anybody reads it who has NumPy only.
    with np.load(exported) as arrays:
        assert arrays["paths"].tolist() == [b"/a/caf\xe9.png", b"/a/1.png", b"/a/2.png"]
        np.testing.assert_array_equal(arrays["vectors"], VECTORS[:3])
        assert json.loads(arrays["facts"].tobytes())["encoder_id"] == tiny_bundle.encoder_id


def test_an_empty_index(tmp_path: Path, tiny_bundle: Bundle) -> None:
    make(tmp_path / "empty", tiny_bundle, [])
    with Index.open(tmp_path / "empty", read_only=True) as index:
        write_file(tmp_path / "empty.npz", index._store)
    assert [entry for part in read_file(tmp_path / "empty.npz").parts for entry in part] == []
    assert vars(import_file(tmp_path / "empty", tmp_path / "empty.npz"))["added"] == 0


def test_the_vectors_of_a_key_model_stay_apart(tmp_path: Path, tiny_bundle: Bundle, exported: Path) -> None:
    keys = KeyModel("large", "f" * 16)
    asymmetric = make(tmp_path / "asymmetric", tiny_bundle, [new_entry("/x", VECTORS[5])], keys)
    with Index.open(asymmetric, read_only=True) as index:
        write_file(tmp_path / "keys.npz", index._store)
        title = f"the encoder {index.facts.title}"
    import_file(tmp_path / "again", tmp_path / "keys.npz", str(tiny_bundle.folder))
    assert content(tmp_path / "again") == content(asymmetric)
    with pytest.raises(EncoderMismatchError) as caught:
        import_file(tmp_path / "parts", tmp_path / "keys.npz")
    assert str(caught.value) == (
        f"{tmp_path}/parts: holds vectors of {title}, and {tmp_path}/keys.npz those of the key model large "
        f"({'f' * 16}), which cannot be compared with them; make a new index with the second"
    )
    with pytest.raises(EncoderMismatchError):
        import_file(asymmetric, exported)


def test_another_encoder_s(tmp_path: Path, exported: Path, other_bundle: Bundle) -> None:
    other = make(tmp_path / "other", other_bundle, [])
    with pytest.raises(EncoderMismatchError, match="which cannot be compared with them"):
        import_file(other, exported)
    with pytest.raises(EncoderMismatchError, match="which cannot be compared with them"):
        import_file(tmp_path / "new", exported, str(other_bundle.folder))
    assert not (tmp_path / "new").exists()
    with pytest.raises(
        UsageError, match=r"/new: no index there; name the encoder of a new one with --encoder$"
    ):
        import_file(tmp_path / "new", exported)


def test_hdf5_as_the_challenge_has_it(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entries = [
        new_entry("/a/1.png", VECTORS[1]),
        new_entry(str(tmp_path / "Q1"), VECTORS[2], labels={"a": "b"}),
    ]
    make(Path("small"), tiny_bundle, entries)
    with Index.open(Path("small"), read_only=True) as index:
        write_file(Path("small.h5"), index._store)
    found = read_descriptors(Path("small.h5"))
    assert found.names == ("/a/1.png", f"{tmp_path}/Q1")
    np.testing.assert_array_equal(found.vectors, VECTORS[1:3])
    with pytest.raises(
        UsageError, match=r"^small.h5: does not say which encoder made it; pass --unchecked if"
    ):
        import_file(Path("small"), Path("small.h5"))
    import_file(Path("new"), Path("small.h5"), str(tiny_bundle.folder), unchecked=True)
    assert content(Path("new")) == {
        "/a/1.png": ("0" * 64, 0, 0, {}, VECTORS[1].tobytes()),
        f"{tmp_path}/Q1": ("0" * 64, 0, 0, {}, VECTORS[2].tobytes()),
    }


def test_hdf5_cannot_hold_a_name_that_is_not_utf_8(parts: Path, tmp_path: Path) -> None:
    with Index.open(parts, read_only=True) as index, pytest.raises(InputError, match=r"export as \.npz$"):
        write_file(tmp_path / "x.hdf5", index._store)


def changed(**arrays: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: {**given, **arrays}


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: {key: array for key, array in given.items() if key != name}


def as_json(value: object) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


NAN = VECTORS[:3].copy()
NAN[1, 1] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            changed(vectors=2 * VECTORS[:3]),
            "expected vectors of length 1, got others; divide each by its length",
        ),
        (changed(vectors=NAN), "expected vectors of length 1, got others; divide each by its length"),
        (changed(vectors=VECTORS[:2]), "vectors: expected float32 (3, D), got float32 (2, 16)"),
        (changed(vectors=VECTORS[:3].astype(float)), "vectors: expected float32 (3, D), got float64 (3, 16)"),
        (
            changed(vectors=np.zeros((3, 0), np.float32)),
            "vectors: expected float32 (3, D), got float32 (3, 0)",
        ),
        (changed(paths=np.array([b"/a", b"/b", b"/a"])), "expected each path once, got '/a' twice"),
        (changed(paths=np.array(["/a", "/b", "/c"])), "paths: expected one for each vector, got <U2 (3,)"),
        (changed(size=np.zeros((3, 1), int)), "size: expected one for each vector, got int64 (3, 1)"),
        (changed(sha256=np.array([b"x"] * 3)), "sha256: expected 64 digits, got 1"),
        (changed(labels=as_json([{}, {}, {"a": 1}])), "a label is no text"),
        (changed(labels=as_json([{}, {}])), "vectors: expected float32 (2, D), got float32 (3, 16)"),
        (changed(labels=np.zeros(3)), "expected JSON as uint8, got float64 (3,)"),
        (changed(format=np.array("other")), "its format is not 'edgesim descriptors 1'"),
        (without("vectors"), "is missing"),
        (without("format"), "is missing"),
        (changed(facts=as_json([])), "expected descriptors as edgesim exports them ("),
    ],
)
def test_an_npz_that_is_none(exported: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    with np.load(exported) as arrays:
        given = dict(arrays)
    np.savez(exported, **change(given))
    with pytest.raises(InputError) as caught:
        read_file(exported)
    assert str(caught.value).startswith(f"{exported}: ")
    assert message in str(caught.value)


class Trap:
    """Ends the test when it is unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was executed",)


def test_pickles_are_refused_and_not_executed(exported: Path) -> None:
    with np.load(exported) as arrays:
        given = dict(arrays)
    np.savez(exported, **{**given, "paths": np.array([Trap()] * 3, dtype=object)})
    with pytest.raises(InputError, match=r"Object arrays cannot be loaded when allow_pickle=False"):
        read_file(exported)
    exported.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"expected descriptors as edgesim exports them \(File is not a zip"):
        read_file(exported)


def test_what_would_grow_in_memory_is_refused(exported: Path) -> None:
    with np.load(exported) as arrays:
        np.savez_compressed(exported, **dict(arrays))
    with pytest.raises(InputError, match=r"it is compressed; write it with numpy\.savez\)$"):
        read_file(exported)
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (1 << 58, 16)}
    )
    with zipfile.ZipFile(exported, "w") as archive:
        archive.writestr("vectors.npy", stream.getvalue())
    with pytest.raises(InputError, match="expected descriptors as edgesim exports them"):
        read_file(exported)


def test_a_damaged_npz_is_refused_in_one_line(exported: Path) -> None:
    assert refused_when_damaged(exported, 400) > 300


def refused_when_damaged(path: Path, count: int) -> int:
    """Cut a file off in 100 places, then change a byte in others; return how many of `count` are refused."""
    intact, chance, refused = path.read_bytes(), random.Random(0), 0
    for number in range(count):
        damaged = bytearray(intact[: len(intact) * number // 100] if number < 100 else intact)
        if number >= 100:
            damaged[chance.randrange(len(intact))] ^= chance.randrange(1, 256)
        path.write_bytes(damaged)
        refused += is_refused(path)
    return refused


def is_refused(path: Path) -> bool:
    try:
        read_file(path)
    except InputError as error:
        message = str(error)
    else:
        return False
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return True


def test_which_files_there_are(tmp_path: Path, exported: Path) -> None:
    with pytest.raises(InputError, match=r"parts.txt: .* ends with .npz, .parquet, .h5, .hdf5$"):
        read_file(tmp_path / "parts.txt")
    with pytest.raises(InputError, match=r"none.npz: cannot be read \(No such file or directory\)$"):
        read_file(tmp_path / "none.npz")


def test_vectors_of_another_size(tmp_path: Path, parts: Path, exported: Path) -> None:
    with np.load(exported) as arrays:
        wide = np.zeros((3, DIM + 1), np.float32)
        wide[:, 0] = 1
        np.savez(exported, **{**arrays, "vectors": wide})
    with pytest.raises(InputError, match="expected vectors of 16 numbers, got 17; describe the images with"):
        import_file(parts, exported)


def test_merge_keeps_the_newer_file_and_all_labels(tmp_path: Path, tiny_bundle: Bundle) -> None:
    def entry(path: str, number: int, mtime_ns: int, **labels: str) -> NewEntry:
        return new_entry(path, VECTORS[number], mtime_ns=mtime_ns, labels=labels)

    into = make(
        tmp_path / "into",
        tiny_bundle,
        [entry("/old", 0, 1, a="into", x="into"), entry("/new", 1, 9, a="into"), entry("/same", 2, 5)],
    )
    first = make(
        tmp_path / "first",
        tiny_bundle,
        [
            entry("/old", 3, 2, a="first"),
            entry("/new", 4, 8, a="first", b="first"),
            entry("/same", 5, 5),
            entry("/own", 6, 1),
        ],
    )
    second = make(tmp_path / "second", tiny_bundle, [entry("/own", 7, 2, c="second")])
    before = content(first), content(second)
    assert vars(merge_indexes(into, [first, second])) == {"added": 1, "replaced": 2, "kept": 2}
    assert {
        path: (mtime, labels, vector) for path, (_, _, mtime, labels, vector) in content(into).items()
    } == {
        "/old": (2, {"a": "first", "x": "into"}, VECTORS[3].tobytes()),
        "/new": (9, {"a": "into", "b": "first"}, VECTORS[1].tobytes()),
        "/same": (5, {}, VECTORS[2].tobytes()),
        "/own": (2, {"c": "second"}, VECTORS[7].tobytes()),
    }
    assert (content(first), content(second)) == before
    # Once more is no change, and a new index takes everything.
    after = content(into)
    assert vars(merge_indexes(into, [first, second])) == {"added": 0, "replaced": 0, "kept": 5}
    assert content(into) == after
    merge_indexes(tmp_path / "copy", [into])
    assert content(tmp_path / "copy") == after


def test_merge_refuses_another_encoder_and_itself(
    tmp_path: Path, parts: Path, tiny_bundle: Bundle, other_bundle: Bundle
) -> None:
    fine = make(tmp_path / "fine", tiny_bundle, [new_entry("/fine", VECTORS[0])])
    other = make(tmp_path / "other", other_bundle, [new_entry("/x", VECTORS[0])])
    before = content(parts)
    with pytest.raises(EncoderMismatchError, match="which cannot be compared with them"):
        merge_indexes(parts, [fine, other])
    with pytest.raises(IndexStoreError, match=r"cannot be merged into itself; name another index$"):
        merge_indexes(parts, [fine, parts])
    assert content(parts) == before
    with pytest.raises(IndexStoreError, match="no index there"):
        merge_indexes(tmp_path / "new", [tmp_path / "none"])
    assert not (tmp_path / "new").exists()
