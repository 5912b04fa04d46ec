"""Label filters: against an evaluation by hand and by Python, and what they say about what is no filter."""

from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from edgesim.bundle import Bundle
from edgesim.errors import UsageError
from edgesim.runtime.index import Index
from edgesim.runtime.label_filter import MAX_DEPTH, MAX_VALUES
from tests.runtime.index_entries import new_entry, unit_vectors

Labels = dict[str, str]
# An expression's text, and whether labels satisfy it.
Expression = tuple[str, Callable[[Labels], bool]]

KEYS = ["line", "verdict", "late shift", "has", "Größe"]
VALUES = ["3", "3.0", "-2.5e1", "ng", "it's", 'a "b"', "", "12abc", "AND", "1e999", "٣", "nan"]
PHOTOS: list[Labels] = [
    {},
    *({key: value} for key in KEYS for value in VALUES),
    *({"line": a, "verdict": b} for a in VALUES[:4] for b in VALUES[3:7]),
]
# The numbers among them, by hand.
NUMBERS = {"3": 3.0, "3.0": 3.0, "-2.5e1": -25.0, "1e999": float("inf")}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Iterator[Index]:
    vectors = unit_vectors(len(PHOTOS))
    folder = tmp_path_factory.mktemp("filter") / "index"
    with Index.create(folder, tiny_bundle) as index:
        entries = [
            new_entry(f"/{number}", vector, labels=labels)
            for number, (vector, labels) in enumerate(zip(vectors, PHOTOS, strict=True))
        ]
        index.add(entries)
        yield index


def selected(index: Index, text: str) -> list[int]:
    return [int(entry.path[1:]) for entry in index.entries(text)]


def quoted(word: str) -> st.SearchStrategy[str]:
    """A word as it may be written; without quotes only where no rule can mind."""
    forms = ["'" + word.replace("'", "''") + "'", '"' + word.replace('"', '""') + '"']
    plain = word.isalnum() and word.lower() not in ("and", "or", "not", "in", "has")
    return st.sampled_from([*forms, word] if plain else forms)


def compare(operator: str, label: str | None, number: str) -> bool:
    if label not in NUMBERS:
        return False
    a, b = NUMBERS[label], NUMBERS[number]
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator]


@st.composite
def comparisons(draw: st.DrawFn) -> Expression:
    key = draw(st.sampled_from(KEYS))
    name, space = draw(quoted(key)), draw(st.sampled_from(["", " "]))
    kind = draw(st.sampled_from(["=", "!=", "in", "has", "<", "<=", ">", ">="]))
    if kind == "has":
        return f"has {name}", lambda labels: key in labels
    if kind == "in":
        values = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=3))
        listed = ",".join(draw(quoted(value)) for value in values)
        return f"{name} IN{space}({listed})", lambda labels: labels.get(key) in values
    if kind in ("=", "!="):
        value = draw(st.sampled_from(VALUES))
        text = f"{name}{space}{kind}{space}{draw(quoted(value))}"
        return text, lambda labels: (labels.get(key) == value) == (kind == "=")
    number = draw(st.sampled_from(list(NUMBERS)))
    return f"{name}{space}{kind}{number}", lambda labels: compare(kind, labels.get(key), number)


def combined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    @st.composite
    def combine(draw: st.DrawFn) -> Expression:
        word = draw(st.sampled_from(["and", "or", "not", "Or"]))
        first, satisfies = draw(inner)
        if word == "not":
            return f"not ({first})", lambda labels: not satisfies(labels)
        second, also = draw(inner)
        text = f"({first}) {word}({second})"
        if word == "and":
            return text, lambda labels: satisfies(labels) and also(labels)
        return text, lambda labels: satisfies(labels) or also(labels)

    return combine()


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(expression=st.recursive(comparisons(), combined, max_leaves=6))
def test_any_filter_selects_what_python_does(index: Index, expression: Expression) -> None:
    text, satisfies = expression
    assert selected(index, text) == [n for n, labels in enumerate(PHOTOS) if satisfies(labels)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # `and` binds stronger than `or`, `not` strongest.
        ("has a or has b and has c", {"a", "ab", "ac", "bc", "abc"}),
        ("not has a and has b", {"b", "bc"}),
        ("not (has a and has b)", {"", "a", "b", "c", "ac", "bc"}),
        ("not not has a", {"a", "ab", "ac", "abc"}),
        # 1 for the first letter of the labels, 2 for the second, ...
        ("b=1", {"b", "bc"}),
        ("b!=1", {"", "a", "c", "ab", "ac", "abc"}),
        ("has b and b != 1", {"ab", "abc"}),
        ("c>1", {"ac", "bc", "abc"}),
        ("c in (1, 3)", {"c", "abc"}),
        ("not c in (1, 3)", {"", "a", "b", "ab", "ac", "bc"}),
    ],
)
def test_by_hand(tmp_path: Path, tiny_bundle: Bundle, text: str, expected: set[str]) -> None:
    names = ["", "a", "b", "c", "ab", "ac", "bc", "abc"]
    with Index.create(tmp_path / "index", tiny_bundle) as index:
        vectors = unit_vectors(len(names))
        index.add(
            [
                new_entry(f"/x{name}", vector, labels={key: str(i) for i, key in enumerate(name, 1)})
                for name, vector in zip(names, vectors, strict=True)
            ]
        )
        assert {entry.path[2:] for entry in index.entries(text)} == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected a label's key, got the end at character 1"),
        ("line", "expected one of = != < <= > >= in, got the end at character 5"),
        ("line=3 verdict=ng", "expected and, or, or the end, got 'verdict' at character 8"),
        ("line=3 and", "expected a label's key, got the end at character 11"),
        ("(line=3", "expected and, or, or ), got the end at character 8"),
        ("line=3)", "expected and, or, or the end, got ')' at character 7"),
        ("line==3", "expected a value, got '=' at character 6"),
        ("line = and", "expected a value (the keyword itself stands in quotes), got 'and' at character 8"),
        ("line < ng", "expected a number, got 'ng' at character 8"),
        ("line < ", "expected a number, got the end at character 7"),
        ("line in 3", "expected ( and a list of values, got '3' at character 9"),
        ("line in ()", "expected a value, got ')' at character 10"),
        ("line in (3 4)", "expected , or ), got '4' at character 12"),
        ("a = 'it''s", "a quote that is not closed at character 5"),
        ("a ! b", "got '!' at character 3"),
        ("caf\udce9=1", "not valid UTF-8"),
        ("not " * MAX_DEPTH + "a=1", f"nested more than {MAX_DEPTH} deep at character {4 * MAX_DEPTH + 1}"),
    ],
)
def test_what_is_no_filter(index: Index, text: str, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        index.entries(text)
    assert str(caught.value) == f"label filter {text!r}: {fault}"


def test_as_long_as_sqlite_allows(index: Index) -> None:
    half = MAX_VALUES // 2
    text = " or ".join(["line=3"] * half)
    assert selected(index, text) == selected(index, "line=3")
    nested = "(" * (MAX_DEPTH - 1) + text + ")" * (MAX_DEPTH - 1)
    assert selected(index, nested) == selected(index, "line=3")
    with pytest.raises(UsageError, match=f"more than {MAX_VALUES} keys and values at character"):
        index.entries(f"{text} or has line")
