"""A damaged calibration or background is told wherever it is read, and repaired as far as it can be."""

import functools
import json
import math
import types
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import IndexStoreError
from edgesim.runtime.calibration import calibrate_index
from edgesim.runtime.index import Index
from edgesim.runtime.matcher import Matcher
from edgesim.runtime.repair import repair_index
from edgesim.runtime.verify import verify_index
from tests.helpers import photo, png, write_photos
from tests.runtime.known_photos import COUNT, LOOSE, embedded, photo_index


@pytest.fixture
def index(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    return photo_index(tmp_path, tiny_bundle, COUNT)


@pytest.mark.parametrize("damage", ["byte", "gone", "other"])
def test_a_damaged_background_is_told(index: Path, damage: str) -> None:
    write_photos(index.parent / "background", 2, start=500)
    with Matcher(index) as matcher:
        calibrate_index(matcher, background=index.parent / "background")
    file = next(index.glob("background-*"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    if damage == "byte":
        file.write_bytes(content)
    elif damage == "gone":
        file.unlink()
    else:
        np.save(file, embedded(range(2)))
    with Matcher(index, read_only=True) as matcher, pytest.raises(IndexStoreError) as caught:
        matcher.query(png(photo(3)))
    reason = "cannot be read (No such file or directory)" if damage == "gone" else "changed or damaged"
    assert str(caught.value) == f"{file}: {reason}; calibrate again with: edgesim calibrate"
    with Matcher(index) as matcher:
        calibrate_index(matcher, background=index.parent / "background")
        assert matcher.query(png(photo(3)))[0].score is not None


def test_verify_and_repair_know_the_background(index: Path) -> None:
    write_photos(index.parent / "background", 2, start=500)
    with Matcher(index) as matcher:
        calibrate_index(matcher, augment=True, background=index.parent / "background", aims=LOOSE)
        expected = matcher.query(png(photo(3)))
    assert verify_index(index).damage == []
    assert not repair_index(index, index.parent / "saved").lost_settings
    with Matcher(index.parent / "saved", read_only=True) as matcher:
        assert matcher.query(png(photo(3))) == expected
    file = next(index.glob("background-*"))
    file.write_bytes(file.read_bytes()[:-1])
    assert verify_index(index).damage == [
        f"{file.name}: changed or damaged; calibrate again with: edgesim calibrate"
    ]
    assert repair_index(index, index.parent / "without").lost_settings
    with Matcher(index.parent / "without", read_only=True) as matcher:
        assert matcher.scoring is None
        assert [match.path for match in matcher.query(png(photo(3)))] == [match.path for match in expected]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("encoder_id", "0123456789abcdef", "made for the encoder 0123456789abcdef"),
        ("thresholds", {"lower": 1}, "'thresholds'"),
        ("encoder_id", "two\nlines", "made for the encoder two?lines"),
        ("entries", None, "entries: expected a whole number, got NoneType"),
        ("entries", "20", "entries: expected a whole number, got str"),
        ("entries", math.inf, "entries: expected a whole number, got float"),
    ],
)
def test_a_calibration_that_makes_no_sense(index: Path, key: str, value: object, reason: str) -> None:
    with Matcher(index) as matcher:
        calibrate_index(matcher, augment=True, aims=LOOSE)
    with Index.open(index) as opened:
        stored = opened.setting("calibration")
        assert json.loads(json.dumps(stored)) == stored
        opened.set_setting("calibration", {**stored, key: value})
    with Matcher(index, read_only=True) as matcher, pytest.raises(IndexStoreError) as caught:
        matcher.query(png(photo(3)))
    assert str(caught.value) == (
        f"{index}: its calibration is damaged ({reason}); make it again with: edgesim calibrate {index}"
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["no object"], "list indices must be integers or slices, not str"),
        ("a string", "string indices must be integers, not 'str'"),
        (7, "'int' object is not subscriptable"),
        ({"background": {"file": "background-1.npy"}}, "'encoder_id'"),
    ],
)
def test_verify_and_repair_know_a_damaged_calibration(index: Path, value: object, reason: str) -> None:
    with Index.open(index) as opened:
        opened.set_setting("calibration", value)
    assert verify_index(index).damage == [
        f"its calibration is damaged ({reason}); make it again with: edgesim calibrate {index}"
    ]
    assert repair_index(index, index.parent / "without").lost_settings
    assert verify_index(index.parent / "without").damage == []


WRONG = ([1], {"a": 1}, "a\nb", True, math.nan, 10**400)


@pytest.mark.parametrize("wrong", WRONG, ids=["list", "object", "text", "truth", "nan", "huge"])
def test_a_calibration_with_parts_of_the_wrong_type_is_told_wherever_it_is_read(
    index: Path, wrong: object
) -> None:
    write_photos(index.parent / "background", 2, start=500)
    with Matcher(index) as matcher:
        calibrate_index(matcher, augment=True, background=index.parent / "background", aims=LOOSE)
        stored = matcher.index.setting("calibration")
        parts = [("thresholds",), ("background",), ("background", "file"), ("background", "sha256")]
        for key, values in stored["thresholds"].items():
            parts += [("thresholds", key), *(("thresholds", key, name) for name in values)]
        for part in parts:
            changed = json.loads(json.dumps(stored))
            *outer, last = part
            functools.reduce(dict.__getitem__, outer, changed)[last] = wrong
            matcher.index.set_setting("calibration", changed)
            with pytest.raises(IndexStoreError) as caught:
                matcher.query(png(photo(3)))
            (line,) = verify_index(index).damage
            assert "edgesim calibrate" in line, part
            assert "\n" not in line + str(caught.value), part
    assert repair_index(index, index.parent / "without").lost_settings
    assert verify_index(index.parent / "without").damage == []


def test_a_calibration_that_is_no_json(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgesim.runtime.store.json", types.SimpleNamespace(dumps=str))
    with Index.open(index) as opened:
        opened.set_setting("calibration", "{")
    reason = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    with Matcher(index, read_only=True) as matcher, pytest.raises(IndexStoreError) as caught:
        matcher.query(png(photo(3)))
    assert f"is damaged (setting calibration: {reason}); restore it from a copy" in str(caught.value)
    assert verify_index(index).damage == [
        f"its calibration is damaged ({reason}); make it again with: edgesim calibrate {index}"
    ]
    assert repair_index(index, index.parent / "without").lost_settings
    assert verify_index(index.parent / "without").damage == []


def test_a_background_is_rescued_into_the_folder_of_the_new_index_only(index: Path) -> None:
    write_photos(index.parent / "background", 2, start=500)
    with Matcher(index) as matcher:
        calibrate_index(matcher, background=index.parent / "background")
        stored = matcher.index.setting("calibration")
        name = stored["background"]["file"]
        stored["background"]["file"] = f"../{name}"
        matcher.index.set_setting("calibration", stored)
    assert not repair_index(index, index.parent / "saved").lost_settings
    assert (index.parent / "saved" / name).read_bytes() == (index / name).read_bytes()
    assert not (index.parent / name).exists()
