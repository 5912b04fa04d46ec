"""TOML tables as dataclasses: what fits becomes the field's type, and what does not is refused by name."""

import dataclasses
import re

import pytest

from edgesim.errors import UsageError
from edgesim.settings import build, check_known, read_named, read_toml


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    share: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    count: int
    active: bool = False
    sizes: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    inner: Inner = dataclasses.field(default_factory=Inner)
    parts: tuple[Inner, ...] = ()

    def __post_init__(self) -> None:
        if self.count > 9:
            raise ValueError(f"count must be at most 9, got {self.count}")


def test_every_type_is_converted_and_what_is_missing_takes_its_default():
    values = {
        "count": 3,
        "active": True,
        "sizes": [1, 2],
        "words": ["a"],
        "notes": {"k": "v"},
        "inner": {"share": 1},
        "parts": [{"share": 2}, {}],
    }
    built = build(Outer, values, "f", name="given")
    expected = Outer(
        name="given",
        count=3,
        active=True,
        sizes=(1, 2),
        words=("a",),
        notes={"k": "v"},
        inner=Inner(share=1.0),
        parts=(Inner(share=2.0), Inner()),
    )
    assert built == expected
    assert type(built.inner.share) is float
    assert build(Outer, {"name": "n", "count": 1}, "f") == Outer(name="n", count=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": True}, "f: count: expected a whole number, got True"),
        ({"count": 1.0}, "f: count: expected a whole number, got 1.0"),
        ({"active": 1}, "f: active: expected true or false, got 1"),
        ({"sizes": [1, "2"]}, "f: sizes: expected a list of whole numbers, got [1, '2']"),
        ({"words": "ab"}, "f: words: expected a list of texts, got 'ab'"),
        ({"notes": {"k": 1}}, "f: notes: expected a table of texts, got {'k': 1}"),
        ({"inner": 4}, "f: inner: expected a table, got 4"),
        ({"inner": {"share": "x"}}, "f: inner: share: expected a number, got 'x'"),
        ({"inner": {"shar": 1}}, "f: inner: unknown key 'shar'; did you mean 'share'?"),
        ({"coutn": 1}, "f: unknown key 'coutn'; did you mean 'count'?"),
        (
            {"name": "the file may not set it"},
            "f: unknown key 'name'; known: active, count, inner, notes, parts, sizes, words",
        ),
        ({"count": 10}, "f: count must be at most 9, got 10"),
    ],
)
def test_what_does_not_fit_is_refused(values, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        build(Outer, {"count": 1, **values}, "f", name="given")


def test_a_missing_key_is_named():
    with pytest.raises(UsageError, match=r"^f: lacks the key 'count'$"):
        build(Outer, {"name": "n"}, "f")


def test_files_are_found_by_name_or_path(tmp_path):
    (tmp_path / "shipped.toml").write_text("count = 1")
    own = tmp_path / "own" / "mine.toml"
    own.parent.mkdir()
    own.write_text("count = 2")
    assert read_named("recipe", "shipped", tmp_path) == ("shipped", "shipped.toml", {"count": 1})
    assert read_named("recipe", str(own), tmp_path) == ("mine", str(own), {"count": 2})
    with pytest.raises(UsageError, match=r"^unknown recipe 'shiped'; did you mean 'shipped'\?$"):
        read_named("recipe", "shiped", tmp_path)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.toml"
    with pytest.raises(UsageError, match=re.escape(f"{path}: cannot be read (No such file or directory)")):
        read_toml(path)
    path.write_bytes(b"x = \xff")
    with pytest.raises(UsageError, match=re.escape(f"{path}: not TOML (")):
        read_toml(path)


def test_check_known():
    check_known(["a", "b"], ("a", "b", "c"), "f: letters")
    with pytest.raises(UsageError, match=r"^f: letters: unknown value 'z'; known: a, b$"):
        check_known(["a", "z"], ("a", "b"), "f: letters")
