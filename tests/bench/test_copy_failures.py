"""The sheet of failures: which answers it shows, of made-up scores, and where it may be written."""

from pathlib import Path

import copy_failures
import numpy as np
import pytest
from copy_detection.benchmark import Part, Query, query_picture
from copy_detection.edits import HARD
from copy_detection.failures import Answer, Problem, answer_all, best_answers, copies, select, sheet_rows
from PIL import Image

from edgesim.copy_metrics import Predictions
from edgesim.errors import UsageError
from edgesim.preprocess import decode_image
from edgesim.sample_photos import sample_photos


def test_the_answer_is_the_best_match_and_its_lead_over_the_best_wrong_one():
    predictions = Predictions(
        queries=np.array([0, 0, 0, 2, 2, 2, 5, 5]),
        references=np.array([7, 8, 9, 4, 3, 1, 6, 2]),
        scores=np.array([0.9, 0.8, 0.3, 0.75, 0.5, 0.25, 0.5, 0.4]),
    )
    right = {(0, 7), (0, 8), (2, 3), (5, 6), (5, 2)}
    found = best_answers(predictions, lambda query, match: (query, match) in right)
    assert found == [
        Answer(query=0, match=7, score=0.9, margin=pytest.approx(0.6), right=True),
        Answer(query=2, match=4, score=0.75, margin=0, right=False),
        Answer(query=5, match=6, score=0.5, margin=np.inf, right=True),
    ]


def wrong(query, score):
    return Answer(query, 0, score, 0.0, False)


def right(query, score, margin):
    return Answer(query, 0, score, margin, True)


def test_confidently_wrong_answers_come_first():
    answers = [wrong(0, 0.5), right(1, 0.99, 0.01), wrong(2, 0.9), wrong(3, 0.7), wrong(4, 0.6)]
    assert [a.query for a in select(answers, "abcde")] == [2, 3, 4]


def test_right_answers_of_least_margin_fill_a_row():
    answers = [right(0, 0.99, 0.5), wrong(1, 0.2), right(2, 0.9, 0.3), right(3, 0.6, 0.1)]
    assert [a.query for a in select(answers, "abcd")] == [1, 3, 2]


def test_a_row_shows_each_subject_once():
    answers = [wrong(0, 0.9), wrong(1, 0.8), wrong(2, 0.7), right(3, 0.6, 0.1), right(4, 0.5, 0.2)]
    assert [a.query for a in select(answers, "aabac")] == [0, 2, 4]
    assert select([], "") == []


def test_of_equal_scores_the_first_query_comes_first():
    assert [a.query for a in select([wrong(2, 0.5), wrong(1, 0.5)], "abc")] == [1, 2]


def photo(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), colour).save(path)


def test_of_a_part_the_hard_edits_with_an_original_are_asked(tmp_path):
    for name in ("set/a.png", "set/b.png", "set/c.png"):
        photo(tmp_path / name, (200, 30, 60))
    hard, mild, unmatched = (
        Query("set/b.png", ("jpeg 10",), 1, "set/c.png", 1, "jpeg 10"),
        Query("set/b.png", ("grey",), 2, "set/c.png", 1, "grey"),
        Query("set/c.png", ("jpeg 10",), 3, "set/c.png", None, "jpeg 10"),
    )
    part = Part(("set/a.png", "set/b.png"), (mild, hard, unmatched))
    problem = copies(tmp_path, part, "somewhere")
    assert (problem.rows, problem.subjects, problem.names) == (["jpeg 10"], ["b"], ["a", "b"])
    assert list(problem.references) == [tmp_path / "set/a.png", tmp_path / "set/b.png"]
    assert [problem.right(0, reference) for reference in (0, 1)] == [False, True]
    assert problem.picture(0) == query_picture(tmp_path, hard)


def test_sample_photographs_by_every_hard_edit(tmp_path):
    problem = copy_failures.sample_copies(tmp_path, 2)
    owned = {"china", "flower", "motorcycle_left"}  # not in the public domain
    photos = [photo for photo in sample_photos("the test") if photo.stem not in owned]
    assert list(problem.references) == photos
    assert problem.rows == [edit for edit in HARD for _ in range(2 * len(photos))]
    for number in (0, len(photos) + 3):
        (original,) = (row for row in range(len(photos)) if problem.right(number, row))
        assert photos[original].stem == problem.subjects[number]
    # Copies are laid onto what was drawn, and not onto a picture that could be found.
    row = problem.rows.index("small on background")
    picture = problem.picture(row)
    canvas = decode_image(tmp_path / "canvas-0.png").resize(picture.size, Image.Resampling.BICUBIC)
    assert (np.asarray(picture) == np.asarray(canvas)).all(axis=2).mean() > 0.6


def test_grocery_photos_are_right_by_product(tmp_path):
    for kind, name in (("Fruit", "Kiwi"), ("Fruit", "Lime"), ("Packages", "Milk")):
        for number in range(2):
            photo(tmp_path / f"grocery/d__train__{kind}__{name}__{name}_{number}.png", (0, 90, 0))
        for number in range(5):
            photo(tmp_path / f"grocery/d__test__{kind}__{name}__{name}_{number}.png", (0, 90, 0))
    problem = copy_failures.products(tmp_path)
    assert problem.names == ["Kiwi", "Lime", "Milk"]
    assert problem.subjects == ["Kiwi", "Lime", "Milk"]
    assert problem.rows == ["Fruit", "Fruit", "Packages"]
    assert [problem.right(1, reference) for reference in range(3)] == [False, True, False]


class Colours:
    """An encoder whose embedding is the picture's mean colour."""

    name, bytes, dim = "colours", 0, 3

    def embed(self, pictures):
        means = np.stack([np.asarray(p, np.float32).mean((0, 1)) for p in pictures])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def embed_queries(self, pictures):
        return self.embed(pictures)[None]


def test_rows_name_the_share_and_the_pictures(tmp_path):
    colours = {"red": (200, 0, 0), "green": (0, 200, 0)}
    for name, colour in colours.items():
        photo(tmp_path / f"{name}.png", colour)
    asked = ["red", "green", "green"]
    problem = Problem(
        references=[tmp_path / "red.png", tmp_path / "green.png"],
        names=["red", "green"],
        rows=["turned", "turned", "blurred"],
        subjects=asked,
        picture=lambda number: Image.new("RGB", (20, 20), [(9, 200, 0), (0, 9, 0), (0, 9, 0)][number]),
        right=lambda number, reference: asked[number] == ["red", "green"][reference],
        measure="recall@1",
        source="",
    )
    answers = answer_all(problem, Colours())
    assert [(answer.match, answer.right) for answer in answers] == [(1, False), (1, True), (1, True)]
    turned, blurred = sheet_rows(problem, answers, tmp_path)
    assert (turned.heading, turned.note) == ("turned", "recall@1 0.50")
    assert (blurred.heading, blurred.note) == ("blurred", "recall@1 1.00")
    shown = [(pair.query_caption, pair.match_caption, pair.right) for pair in turned.pairs]
    assert shown == [("red", "green", False), ("green", "green", True)]
    assert turned.pairs[0].match == tmp_path / "green.png"
    with Image.open(turned.pairs[0].query) as query:
        assert query.getpixel((5, 5)) == (9, 200, 0)


def test_photographs_of_sets_never_get_into_docs(tmp_path):
    assert copy_failures.sheet_path(None, None) == copy_failures.DOCS / "copy-failures.png"
    assert copy_failures.sheet_path(None, tmp_path / "a.png") == tmp_path / "a.png"
    assert copy_failures.sheet_path(Path("sets"), tmp_path / "a.png") == tmp_path / "a.png"
    for out, shown in ((None, "none"), (copy_failures.DOCS / "x" / ".." / "a.png",) * 2):
        with pytest.raises(UsageError) as caught:
            copy_failures.sheet_path(Path("sets"), out)
        assert str(caught.value) == (
            "--out: expected a file outside docs, as the sheet will show photographs of sets, got "
            f"{shown}; name one, such as --out failures.png"
        )


def test_products_need_their_photographs():
    with pytest.raises(SystemExit) as stopped:
        copy_failures.main(["--products"])
    assert str(stopped.value) == "expected SETS, with the set grocery, for products; got none"
