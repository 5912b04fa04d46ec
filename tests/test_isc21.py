"""The challenge's files: round trips, files written without this code, and what each malformed one says."""

import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgesim.copy_metrics import Predictions
from edgesim.errors import InputError, MissingDependencyError, StorageError
from edgesim.isc21 import (
    Descriptors,
    Truth,
    named_pairs,
    read_descriptors,
    read_predictions,
    read_truth,
    score,
    write_descriptors,
    write_predictions,
    write_truth,
)

NAMES = ("Q00000", "Q00001", "größer, 2")
VECTORS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_hdf5(**datasets: object) -> Path:
    path = Path("d.hdf5")
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
    return path


def write_text(text: str) -> Path:
    path = Path("t.csv")
    path.write_text(text, encoding="utf-8")
    return path


def raises(message: str) -> object:
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def test_descriptors_come_back(here: Path) -> None:
    path = here / "d.hdf5"
    path.write_text("an older file")
    write_descriptors(path, Descriptors(NAMES, VECTORS), limit=5)
    again = read_descriptors(path)
    assert again.names == NAMES
    np.testing.assert_array_equal(again.vectors, VECTORS)
    assert again.vectors.dtype == np.float32
    assert [file.name for file in here.iterdir()] == ["d.hdf5"]


def test_descriptors_for_other_programs(here: Path) -> None:
    write_descriptors(here / "d.hdf5", Descriptors(NAMES, VECTORS))
    with h5py.File("d.hdf5") as file:
        assert sorted(file) == ["image_names", "vectors"]
        assert (file["vectors"].dtype, file["vectors"].shape) == (np.float32, (3, 5))
        assert [name.decode() for name in file["image_names"][:]] == list(NAMES)
        np.testing.assert_array_equal(file["vectors"][:], VECTORS)


@pytest.mark.parametrize("names", [np.array([b"Q1", b"Q22", b"Q3"]), ["Q1", "Q22", "Q3"]])
def test_descriptors_of_other_programs(names: object) -> None:
    # Names of fixed length, as NumPy makes them, and of any length.
    again = read_descriptors(write_hdf5(vectors=VECTORS, image_names=names, more=[1]))
    assert again.names == ("Q1", "Q22", "Q3")
    np.testing.assert_array_equal(again.vectors, VECTORS)


def test_the_limit_of_dimensions(here: Path) -> None:
    with raises(
        "d.hdf5: expected descriptors of at most 4 dimensions, got 5; "
        "choose an encoder with fewer, or write without the limit"
    ):
        write_descriptors(Path("d.hdf5"), Descriptors(NAMES, VECTORS), limit=4)
    assert not list(here.iterdir())


INFINITE = VECTORS.copy()
INFINITE[1, 4] = np.inf
FORM = "d.hdf5: expected vectors of float32 (N, D), N and D 1 at least, got {}; write them in this form"
NAMES_FORM = (
    "d.hdf5: expected image_names of strings (3,), one for each row of vectors, got {}; "
    "write them in this form"
)
MALFORMED_HDF5 = [
    ({}, "d.hdf5: expected a dataset vectors of float32 (N, D), got nothing"),
    ({"vectors/a": VECTORS}, "d.hdf5: expected a dataset vectors of float32 (N, D), got vectors"),
    ({"vectors": VECTORS}, "d.hdf5: expected a dataset image_names of strings (N,), got vectors"),
    ({"vectors": VECTORS.astype(float), "image_names": NAMES}, FORM.format("float64 (3, 5)")),
    ({"vectors": VECTORS[0], "image_names": NAMES}, FORM.format("float32 (5,)")),
    ({"vectors": VECTORS[:0], "image_names": NAMES}, FORM.format("float32 (0, 5)")),
    ({"vectors": VECTORS, "image_names": [1, 2, 3]}, NAMES_FORM.format("int64 (3,)")),
    ({"vectors": VECTORS, "image_names": np.array([b"a", b"b"])}, NAMES_FORM.format("|S1 (2,)")),
    (
        {"vectors": VECTORS, "image_names": ["a", "b", "a"]},
        "d.hdf5: expected each image once in image_names, got 'a' twice",
    ),
    (
        {"vectors": INFINITE, "image_names": ["a", "b", "c"]},
        "d.hdf5: expected finite numbers in vectors, got NaN or infinity for 'b'",
    ),
    (
        {"vectors": VECTORS, "image_names": np.array([b"a", b"b", b"\xff"])},
        "d.hdf5: expected an HDF5 file, got another or a damaged one",
    ),
]


@pytest.mark.parametrize(("datasets", "message"), MALFORMED_HDF5)
def test_malformed_descriptors(datasets: dict[str, object], message: str) -> None:
    path = write_hdf5(**datasets)
    with raises(message):
        read_descriptors(path)


def test_files_that_are_no_hdf5() -> None:
    Path("folder").mkdir()
    write_text("query_id,reference_id\n")
    write_descriptors(Path("cut.hdf5"), Descriptors(NAMES, VECTORS))
    Path("cut.hdf5").write_bytes(Path("cut.hdf5").read_bytes()[:1000])
    for path, problem in [
        ("none.hdf5", "cannot be read (No such file or directory)"),
        ("folder", "cannot be read (Is a directory)"),
        ("t.csv", "expected an HDF5 file, got another or a damaged one"),
        ("cut.hdf5", "expected an HDF5 file, got another or a damaged one"),
    ]:
        with raises(f"{path}: {problem}"):
            read_descriptors(Path(path))


def test_without_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    advice = "needs the package h5py, which is not installed. Run: pip install 'edgesim[isc21]'"
    with pytest.raises(MissingDependencyError, match=f"^{re.escape(f'reading descriptors {advice}')}$"):
        read_descriptors(Path("d.hdf5"))
    with pytest.raises(MissingDependencyError, match=f"^{re.escape(f'writing descriptors {advice}')}$"):
        write_descriptors(Path("d.hdf5"), Descriptors(NAMES, VECTORS))


PREDICTIONS = {("Q1", "R1"): 0.5, ("Q1", "R2"): -1e-09, ("Q 2", 'a "b", c'): 0.8999999761581421}
GOLDEN = 'query_id,reference_id,score\nQ1,R1,0.5\nQ1,R2,-1e-09\nQ 2,"a ""b"", c",0.8999999761581421\n'


def test_predictions_as_text() -> None:
    write_predictions(Path("p.csv"), PREDICTIONS)
    assert Path("p.csv").read_bytes() == GOLDEN.encode()
    assert list(read_predictions(Path("p.csv"), {"Q1", "Q 2"}).items()) == list(PREDICTIONS.items())


def test_predictions_of_other_programs() -> None:
    # A byte order mark, other line ends, a blank line, quotes where none are needed.
    path = write_text('\ufeffquery_id,reference_id,score\r\nQ1,"R1",1\r\n\r\n"Q1",R2,-.25\r\n')
    assert read_predictions(path, {"Q1"}) == {("Q1", "R1"): 1.0, ("Q1", "R2"): -0.25}
    assert read_predictions(write_text("query_id,reference_id,score\n"), {"Q1"}) == {}


def test_names_for_numbers_and_scores_without_loss() -> None:
    scores = np.array([0.9, 0.1, 1 / 3], dtype=np.float32)
    predictions = Predictions(np.array([1, 0, 1]), np.array([0, 2, 1]), scores)
    named = named_pairs(predictions, ["Q0", "Q1"], ["R0", "R1", "R2"])
    assert list(named) == [("Q1", "R0"), ("Q0", "R2"), ("Q1", "R1")]
    write_predictions(Path("p.csv"), named)
    again = list(read_predictions(Path("p.csv"), {"Q0", "Q1"}).values())
    np.testing.assert_array_equal(np.array(again, dtype=np.float32), scores)


TRUTH = Truth(frozenset({"Q1", "Q2", "Q3"}), frozenset({("Q1", "R1"), ("Q1", "R2"), ("Q3", "R1")}))


def test_truth_as_text() -> None:
    write_truth(Path("t.csv"), TRUTH)
    assert Path("t.csv").read_bytes() == b"query_id,reference_id\nQ1,R1\nQ1,R2\nQ2,\nQ3,R1\n"
    assert read_truth(Path("t.csv")) == TRUTH


MALFORMED_PREDICTIONS = [
    ("", "t.csv, line 1: expected the header query_id,reference_id,score, got ''"),
    ("Q1,R1,1\n", "t.csv, line 1: expected the header query_id,reference_id,score, got 'Q1,R1,1'"),
    ("H\n\nQ1,R1\n", "t.csv, line 3: expected query_id,reference_id,score, got 2 fields"),
    ("H\nQ1,R1,1,2\n", "t.csv, line 2: expected query_id,reference_id,score, got 4 fields"),
    ("H\nQ1,R1,1\nQ1,R2,high\n", "t.csv, line 3: expected a finite number as score, got 'high'"),
    ("H\nQ1,R1,\n", "t.csv, line 2: expected a finite number as score, got ''"),
    ("H\nQ1,R1,nan\n", "t.csv, line 2: expected a finite number as score, got 'nan'"),
    ("H\nQ1,R1,-inf\n", "t.csv, line 2: expected a finite number as score, got '-inf'"),
    ("H\nQ1,,1\n", "t.csv, line 2: expected a reference_id, got none; leave the line out"),
    (
        "H\nQ1,R1,1\nQ2,R1,1\nQ1,R1,2\n",
        "t.csv, line 4: Q1,R1 stands in an earlier line too; keep one of them",
    ),
    (
        "H\nQ3,R1,1\n",
        "t.csv, line 2: query 'Q3' is not in the ground truth; "
        "add it there, with an empty reference_id if it has no match",
    ),
    (
        'H\nQ1,"R1,1\n',
        "t.csv: expected a CSV file in UTF-8, but it cannot be read (unexpected end of data)",
    ),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED_PREDICTIONS)
def test_malformed_predictions(text: str, message: str) -> None:
    path = write_text(text.replace("H", "query_id,reference_id,score"))
    with raises(message):
        read_predictions(path, {"Q1", "Q2"})


MALFORMED_TRUTH = [
    (
        "query_id,reference_id,score\n",
        "t.csv, line 1: expected the header H, got 'query_id,reference_id,score'",
    ),
    ("H\nQ1\n", "t.csv, line 2: expected H, got 1 fields"),
    ("H\n,R1\n", "t.csv, line 2: expected a query_id, got none"),
    ("H\nQ1,R1\nQ1,R1\n", "t.csv, line 3: Q1,R1 stands in an earlier line too; keep one of them"),
    ("H\nQ1,\n", "t.csv: expected one query with a reference_id at least, got none"),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED_TRUTH)
def test_malformed_truth(text: str, message: str) -> None:
    path = write_text(text.replace("H", "query_id,reference_id"))
    with raises(message.replace("H", "query_id,reference_id")):
        read_truth(path)


def test_files_that_are_no_text() -> None:
    Path("t.csv").write_bytes(b"query_id,reference_id\nQ\xff,R1\n")
    with pytest.raises(InputError, match=r"^t\.csv: expected a CSV file in UTF-8, but it cannot be read \("):
        read_truth(Path("t.csv"))
    with raises("none.csv: cannot be read (No such file or directory)"):
        read_truth(Path("none.csv"))


def test_a_folder_that_is_missing() -> None:
    for write in (
        lambda path: write_descriptors(path, Descriptors(NAMES, VECTORS)),
        lambda path: write_predictions(path, PREDICTIONS),
        lambda path: write_truth(path, TRUTH),
    ):
        with pytest.raises(StorageError, match=r"^none/f: cannot be written \(No such file or directory\)$"):
            write(Path("none/f"))


def test_score_by_hand() -> None:
    # In order: Q3-R1 true, Q2-R9 false, Q1-R2 true, Q1-R9 false; Q1-R1 is missing. P(1) = 1, P(3) = 2/3.
    predictions = {("Q1", "R9"): 0.1, ("Q1", "R2"): 0.2, ("Q2", "R9"): 0.3, ("Q3", "R1"): 0.4}
    assert score(predictions, TRUTH) == pytest.approx(
        {"micro_ap": (1 + 2 / 3) / 3, "recall_at_p90": 1 / 3, "recall_at_1": 1.0}
    )
    # A name may belong to a query and to another reference: they are told apart.
    assert score({("R1", "Q3"): 1.0}, TRUTH)["micro_ap"] == 0.0
    assert set(score({}, TRUTH).values()) == {0.0}
