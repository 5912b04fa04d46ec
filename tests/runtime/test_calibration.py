"""Calibrating an index from its own images and from pairs, and what its queries say afterwards."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesim.bundle import Bundle
from edgesim.edits import EDITS, edited_copy
from edgesim.errors import InputError, UsageError
from edgesim.preprocess import resize_image
from edgesim.runtime.calibration import calibrate_index, report_page
from edgesim.runtime.index import Index
from edgesim.runtime.keys import KeyModel
from edgesim.runtime.matcher import Matcher
from edgesim.runtime.scoring import store_scoring
from tests.helpers import SIZE, TinyEncoder, photo, png, write_photos
from tests.runtime.index_entries import new_entries, unit_vectors
from tests.runtime.known_photos import COUNT, LOOSE, embedded, normalised_by_loop, photo_index


@pytest.fixture
def index(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    return photo_index(tmp_path, tiny_bundle, COUNT)


def nearest_others() -> np.ndarray:
    similarity = embedded(range(COUNT)) @ embedded(range(COUNT)).T
    np.fill_diagonal(similarity, -1)
    return similarity.max(axis=1)


def copies() -> np.ndarray:
    """The similarity of each photo's edited copy to the photo, computed here."""
    found = []
    for seed in range(COUNT):
        image, behind = (Image.fromarray(photo(max(0, number))) for number in (seed, seed - 1))
        copy = edited_copy(image, list(EDITS)[seed % len(EDITS)], seed, behind)
        query = TinyEncoder().embed(resize_image(copy, SIZE))
        found.append(float(query @ TinyEncoder().embed(photo(seed))))
    return np.array(found)


def test_augment_by_hand(index: Path) -> None:
    with Matcher(index) as matcher:
        report = calibrate_index(matcher, augment=True, aims=LOOSE)
    assert report.answers is not None
    scores = report.answers.scores()
    np.testing.assert_allclose(scores.negatives, nearest_others(), atol=1e-5)
    np.testing.assert_allclose(scores.positives, copies(), atol=1e-5)
    assert (scores.weight, report.answers.notes, report.skipped) == (0.5, (), [])
    assert report.scoring.entries == COUNT
    assert report.scoring.calibration is not None
    # 10 independent queries show 30 % with no event, 20 show 20 % with one (0.2 at I(2, 19) is 0.93, so 0).
    thresholds = report.scoring.calibration.thresholds
    assert thresholds.upper == pytest.approx(nearest_others().max(), abs=1e-5)
    assert thresholds.lower == pytest.approx(min(thresholds.upper, copies().min()), abs=1e-5)


def test_queries_answer_by_the_thresholds(index: Path) -> None:
    with Matcher(index) as matcher:
        before = matcher.query(png(photo(3)), k=3)
        assert [(match.score, match.verdict) for match in before] == [(None, None)] * 3
        calibrate_index(matcher, augment=True, aims=LOOSE)
        # The same matcher says so at once, and another one from the index.
        after = matcher.query(png(photo(3)), k=COUNT)
        assert matcher.scoring is not None
        assert matcher.scoring.calibration is not None
        thresholds = matcher.scoring.calibration.thresholds
    with Matcher(index, read_only=True) as reader:
        assert reader.query(png(photo(3)), k=COUNT) == after
    assert [match.score for match in after] == [match.similarity for match in after]
    assert {match.verdict for match in after} >= {"match", "no match"}
    for match in after:
        expected = "match" if match.similarity >= thresholds.upper else "unsure"
        assert match.verdict == ("no match" if match.similarity < thresholds.lower else expected)


def test_another_program_calibrates_meanwhile(index: Path) -> None:
    with Matcher(index, read_only=True) as reader, Matcher(index) as writer:
        assert reader.query(png(photo(3)), k=1)[0].verdict is None
        calibrate_index(writer, augment=True, aims=LOOSE)
        assert reader.query(png(photo(3)), k=1)[0].verdict == "match"
        store_scoring(writer.index, None)
        assert reader.query(png(photo(3)), k=1)[0].verdict is None


def test_exact_copies_are_left_out(index: Path) -> None:
    for name in ("a", "b"):
        (index.parent / f"{name}.png").write_bytes(png(photo(3)))
    with Matcher(index) as matcher:
        matcher.add([index.parent / "a.png", index.parent / "b.png"])
        answers = calibrate_index(matcher, augment=True, aims=LOOSE).answers
    assert answers is not None
    assert answers.notes == ("2 entries are exact copies of others and were left out.",)
    np.testing.assert_allclose(answers.scores().negatives, nearest_others(), atol=1e-5)


def test_files_that_are_gone_or_changed(index: Path) -> None:
    photos = sorted((index.parent / "photos").iterdir())
    photos[0].unlink()
    photos[5].write_bytes(png(photo(99)))
    with Matcher(index) as matcher:
        answers = calibrate_index(matcher, augment=True, aims=LOOSE).answers
        assert answers is not None
        assert answers.notes == ("Of 20 image files 2 are gone or changed and were left out.",)
        assert [answer.entry for answer in answers.positives] == [
            str(path) for number, path in enumerate(photos) if number not in (0, 5)
        ]
        for path in photos[10:]:
            path.unlink()
        before = matcher.scoring
        with pytest.raises(InputError) as caught:
            calibrate_index(matcher, augment=True, aims=LOOSE)
        assert str(caught.value) == (
            f"{index}: 8 of 20 image files could be read, the others are gone or have changed since they "
            "were added; --misses 0.2: 8 queries with a match cannot show so low a rate with 95 % "
            "confidence, it takes 14; add more, or pass --misses 0.32"
        )
        assert matcher.scoring == before


def test_an_index_of_three_and_an_empty_one(tmp_path: Path, tiny_bundle: Bundle) -> None:
    index = photo_index(tmp_path, tiny_bundle, 3)
    with Matcher(index) as matcher:
        with pytest.raises(UsageError) as caught:
            calibrate_index(matcher, augment=True)
        assert str(caught.value) == (
            "--false-alarms 0.01: 3 queries without a match cannot show so low a rate with 95 % confidence, "
            "it takes 598; add more, or pass --false-alarms 0.95"
        )
        matcher.index.remove([tmp_path / "photos"])
        with pytest.raises(
            InputError, match=r"^.*/index: empty; add images with: edgesim index add .* PATH$"
        ):
            calibrate_index(matcher, augment=True)
        assert matcher.scoring is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "nothing to calibrate with; name --pairs CSV, --augment or --background FOLDER"),
        (
            {"pairs": Path("x.csv"), "augment": True},
            "--pairs and --augment exclude each other; name one of them",
        ),
    ],
)
def test_what_is_asked_for(index: Path, asked: dict[str, object], message: str) -> None:
    with Matcher(index) as matcher, pytest.raises(UsageError) as caught:
        calibrate_index(matcher, **asked)
    assert str(caught.value) == message


def test_a_background_makes_scores_from_similarities(index: Path) -> None:
    write_photos(index.parent / "background", 7, start=500)
    (index.parent / "background" / "text.jpg").write_text("no image")
    background = embedded(range(500, 507))
    with Matcher(index) as matcher:
        report = calibrate_index(matcher, augment=True, background=index.parent / "background", aims=LOOSE)
        matches = matcher.query(png(photo(50)), k=4)
    text = f"{index.parent}/background/text.jpg"
    assert report.skipped == [(text, "not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)")]
    query = TinyEncoder().embed(photo(50))
    for match in matches:
        expected = normalised_by_loop(query, match.similarity, background)
        assert match.score == pytest.approx(expected, abs=1e-5)
    # The order stays, and thresholds are those of the scores.
    assert [m.score for m in matches] == sorted((m.score for m in matches), reverse=True)
    expected = [
        normalised_by_loop(query, similarity, background)
        for query, similarity in zip(embedded(range(COUNT)), nearest_others(), strict=True)
    ]
    assert report.answers is not None
    np.testing.assert_allclose(report.answers.scores().negatives, expected, atol=1e-5)


def test_a_background_alone_scores_without_verdicts(index: Path) -> None:
    write_photos(index.parent / "background", 2, start=500)
    with Matcher(index) as matcher:
        calibrate_index(matcher, augment=True, aims=LOOSE)
        report = calibrate_index(matcher, background=index.parent / "background")
        match = matcher.query(png(photo(3)), k=1)[0]
    assert report_page(report, "parts", "tiny") is None
    expected = normalised_by_loop(TinyEncoder().embed(photo(3)), 1.0, embedded(range(500, 502)))
    assert (match.score, match.verdict) == (pytest.approx(expected, abs=1e-5), None)


def test_the_background_is_kept_in_one_file(index: Path) -> None:
    write_photos(index.parent / "first", 2, start=500)
    write_photos(index.parent / "second", 3, start=600)
    with Matcher(index) as matcher:
        calibrate_index(matcher, background=index.parent / "first")
        old = list(index.glob("background-*"))
        calibrate_index(matcher, background=index.parent / "second")
        new = list(index.glob("background-*"))
        assert [len(old), len(new), old != new] == [1, 1, True]
        np.testing.assert_allclose(np.load(new[0]), embedded(range(600, 603)), atol=1e-5)
        store_scoring(matcher.index, None)
        assert list(index.glob("background-*")) == []


def test_an_index_that_has_grown_says_so_once(index: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Matcher(index) as matcher:
        calibrate_index(matcher, augment=True, aims=LOOSE)
        matcher.add(write_photos(index.parent / "more", COUNT, start=100))
        assert len(matcher.index) == 2 * COUNT
    with caplog.at_level(logging.WARNING, "edgesim"):
        with Matcher(index) as matcher:
            matcher.query(png(photo(3)))
            assert caplog.messages == []
            matcher.add(write_photos(index.parent / "more", 1, start=200))
        with Matcher(index, read_only=True) as matcher:
            matcher.query(png(photo(3)))
            matcher.query(png(photo(4)))
    assert caplog.messages == [
        f"{index}: calibrated with 20 entries and has 41 now, false alarms are likelier than it says; "
        f"run again: edgesim calibrate {index}"
    ]


def test_the_page_shows_the_hardest_cases(index: Path) -> None:
    with Matcher(index) as matcher:
        report = calibrate_index(matcher, augment=True, aims=LOOSE)
    assert report.answers is not None
    positives, negatives = report.answers.hardest(6)
    assert [answer.score for answer in positives] == sorted(report.answers.scores().positives)[:6]
    # Two images that are each other's nearest are shown once.
    pairs = {frozenset((answer.query, answer.entry)) for answer in negatives}
    assert len(pairs) == len(negatives) == 6
    best = max(report.answers.negatives, key=lambda answer: answer.score)
    assert negatives[0].score == best.score
    html = report_page(report, "parts", "tiny-0 (123)")
    assert html is not None
    assert html.count('src="data:image/jpeg;base64,') == 24
    assert f"<p>{negatives[0].score:.4f}</p>" in html


def test_with_a_key_model_pairs_are_asked_for(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with Index.create(tmp_path / "index", tiny_bundle, KeyModel("large", "0" * 16)) as index:
        index.add(new_entries(unit_vectors(COUNT)))
    with Matcher(tmp_path / "index") as matcher, pytest.raises(UsageError) as caught:
        calibrate_index(matcher, augment=True, aims=LOOSE)
    assert str(caught.value) == (
        f"{tmp_path}/index: --augment compares entries with entries, and here those are vectors of the key "
        "model; calibrate with --pairs"
    )
