"""Known answers from a CSV file: scores by a plain loop, and every row that cannot be meant so."""

from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import InputError, UsageError
from edgesim.runtime.calibration import calibrate_index
from edgesim.runtime.matcher import Matcher
from edgesim.thresholds import Aims
from tests.helpers import write_photos
from tests.runtime.known_photos import embedded, normalised_by_loop, photo_index

COUNT = 12
LOOSE = Aims(false_alarms=0.4, misses=0.4)


@pytest.fixture
def index(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    write_photos(tmp_path / "queries", 20, start=100)
    write_photos(tmp_path / "background", 5, start=500)
    return photo_index(tmp_path, tiny_bundle, COUNT)


def write_pairs(index: Path, *rows: str, header: str = "query,reference") -> Path:
    path = index.parent / "pairs.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_scores_by_hand(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries 100 to 109 show entries 0 to 9, query 109 also entry 11; 110 to 119 show none."""
    rows = [f"queries/0{100 + i}.png,photos/{i:04d}.png" for i in range(10)]
    rows += [f"queries/0109.png,{index.parent}/photos/0011.png", ""]
    rows += [f"queries/0{110 + i}.png," for i in range(10)]
    path = write_pairs(index, *rows)
    monkeypatch.chdir("/")  # paths are relative to the CSV file
    entries, queries = embedded(range(COUNT)), embedded(range(100, 120))
    similarity, background = queries @ entries.T, embedded(range(500, 505))
    shown = [*similarity[range(9), range(9)], max(similarity[9, 9], similarity[9, 11])]
    for folder in (None, index.parent / "background"):
        with Matcher(index) as matcher:
            report = calibrate_index(matcher, pairs=path, background=folder, aims=LOOSE)
        assert report.answers is not None
        scores = report.answers.scores()
        expected = [*shown, *similarity[10:].max(axis=1)]
        if folder is not None:
            pairs = zip(queries, expected, strict=True)
            expected = [normalised_by_loop(query, value, background) for query, value in pairs]
        np.testing.assert_allclose([*scores.positives, *scores.negatives], expected, atol=1e-5)
        assert (len(scores.positives), scores.weight) == (10, 1.0)
        assert report.answers.source == f"the pairs of {path}"
    entry = report.answers.negatives[0].entry
    assert entry == f"{index.parent}/photos/{int(similarity[10].argmax()):04d}.png"


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        (
            ["queries/0100.png,photos/0000.png", ",photos/0001.png"],
            3,
            "expected the path of a query, got none",
        ),
        (["queries/0100.png"], 2, "expected query,reference, got 1 fields"),
        (
            ["queries/0100.png,", "queries/../queries/0100.png,"],
            3,
            "queries/../queries/0100.png, stands in an earlier line too; keep one of them",
        ),
        (
            ["queries/0100.png,", "queries/0100.png,photos/0000.png"],
            3,
            "queries/0100.png has a reference in one line and none in another; keep one of them",
        ),
        (
            ["queries/0100.png,photos/0000.png", "queries/0100.png,"],
            3,
            "queries/0100.png has a reference in one line and none in another; keep one of them",
        ),
    ],
)
def test_rows_that_cannot_be_meant_so(index: Path, rows: list[str], line: int, message: str) -> None:
    path = write_pairs(index, *rows)
    with Matcher(index) as matcher, pytest.raises(InputError) as caught:
        calibrate_index(matcher, pairs=path, aims=LOOSE)
    assert str(caught.value) == f"{path}, line {line}: {message}"


def test_a_reference_that_is_not_in_the_index(index: Path) -> None:
    path = write_pairs(index, "queries/0100.png,queries/0101.png")
    with Matcher(index) as matcher, pytest.raises(InputError) as caught:
        calibrate_index(matcher, pairs=path, aims=LOOSE)
    assert str(caught.value) == (
        f"{path}, line 2: the reference {index.parent}/queries/0101.png is not in the index; "
        f"see: edgesim index list {index}"
    )


def test_a_query_that_cannot_be_decoded(index: Path) -> None:
    path = write_pairs(index, "queries/0100.png,photos/0000.png", "queries/none.png,")
    with Matcher(index) as matcher:
        with pytest.raises(InputError) as caught:
            calibrate_index(matcher, pairs=path, aims=LOOSE)
        assert matcher.scoring is None
    assert str(caught.value) == f"{path}, line 3: {index.parent}/queries/none.png: no such file"


def test_files_that_are_no_pairs(index: Path) -> None:
    with Matcher(index) as matcher:
        with pytest.raises(InputError, match=r"pairs.csv: expected a row for each query, got none$"):
            calibrate_index(matcher, pairs=write_pairs(index), aims=LOOSE)
        with pytest.raises(InputError, match=r"line 1: expected the header query,reference, got 'a,b,c'$"):
            calibrate_index(matcher, pairs=write_pairs(index, header="a,b,c"), aims=LOOSE)
        with pytest.raises(InputError, match=r"^none.csv: cannot be read \(No such file or directory\)$"):
            calibrate_index(matcher, pairs=Path("none.csv"), aims=LOOSE)


def test_one_kind_alone_is_not_enough(index: Path) -> None:
    path = write_pairs(index, *(f"queries/0{100 + i}.png," for i in range(10)))
    with (
        Matcher(index) as matcher,
        pytest.raises(UsageError, match=r"^--misses 0.4: 0 queries with a match "),
    ):
        calibrate_index(matcher, pairs=path, aims=LOOSE)
