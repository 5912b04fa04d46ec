"""Filters over labels, as in `line=3 and verdict!=ng`: parsed here, evaluated by SQLite.

    expression   and, or, not, parentheses; `not` binds strongest, then `and`
    comparison   KEY = VALUE, KEY != VALUE                      as text
                 KEY < NUMBER, KEY <= ..., KEY > ..., KEY >= ... as numbers
                 KEY in (VALUE, VALUE, ...), has KEY

A key or value with spaces, one of ()=!<>,'" in it, or the name of a keyword, stands in quotes of either kind;
a quote of that kind inside is written twice. An entry without the label, or with one that is no number where
numbers are compared, does not satisfy a comparison; `a != b` is `not a = b`, so it satisfies that.
"""

from __future__ import annotations

import dataclasses
import re
import sqlite3
from collections.abc import Iterator
from typing import NoReturn

from edgesim.errors import UsageError

# SQLite allows expressions 1,000 deep and, in its older versions, 999 parameters.
MAX_VALUES = 400
MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark><=|>=|!=|[=<>(),])
    |(?P<quoted>'(?:[^']|'')*+'|"(?:[^"]|"")*+")
    |(?P<word>[^\s()=!<>,'"]+))""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_KEYWORDS = ("and", "or", "not", "in", "has")
_WITH_LABEL = "id {} (SELECT entry_id FROM labels WHERE key = ?{})"


@dataclasses.dataclass(frozen=True)
class LabelFilter:
    """A filter that selects entries by their labels.

    Attributes:
        text: as the user wrote it.
        sql: a condition on the column `id` of the table `entries`, without any of the user's text.
        values: of its parameters.
    """

    text: str
    sql: str
    values: tuple[str | float, ...]

    @classmethod
    def parse(cls, text: str) -> LabelFilter:
        """Read an expression. Raises `UsageError` that says what is wrong and at which character."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"label filter {text!r}: not valid UTF-8") from error
        parser = _Parser(text)
        return cls(text, parser.parse(), tuple(parser.values))

    @classmethod
    def of(cls, where: str | LabelFilter | None) -> LabelFilter | None:
        """Return the filter that an argument is: read, where it is text; None stays None."""
        return cls.parse(where) if isinstance(where, str) else where


def define_functions(connection: sqlite3.Connection) -> None:
    """Make what filters use, besides SQLite's own functions, known to a connection."""
    connection.create_function("label_number", 1, to_number, deterministic=True)


def to_number(text: str) -> float | None:
    """Return the number that a label's value is, in decimal notation; None if it is none."""
    return float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else None


@dataclasses.dataclass(frozen=True)
class _Token:
    """A word, in quotes or not, or a mark; the end of the text is an empty mark. Positions count from 1."""

    kind: str
    text: str
    position: int

    def is_keyword(self, word: str) -> bool:
        return self.kind == "word" and self.text.lower() == word


class _Parser:
    """Recursive descent; each method returns SQL and collects the values of its parameters."""

    def __init__(self, text: str) -> None:
        self.values: list[str | float] = []
        self._text, self._depth = text, 0
        self._tokens = self._read_tokens()
        self._token = next(self._tokens)

    def _read_tokens(self) -> Iterator[_Token]:
        place, end = 0, len(self._text.rstrip())
        while place < end:
            found = _TOKEN.match(self._text, place)
            if found is None:
                place += len(self._text[place:]) - len(self._text[place:].lstrip())
                rest = self._text[place]
                fault = "a quote that is not closed" if rest in "'\"" else f"got {rest!r}"
                self._fail(place + 1, fault)
            kind = found.lastgroup or ""
            text, place = found[kind], found.end()
            position = found.start(kind) + 1
            if kind == "quoted":
                text = text[1:-1].replace(text[0] * 2, text[0])
            yield _Token(kind, text, position)
        yield _Token("mark", "", end + 1)

    def _fail(self, position: int, fault: str) -> NoReturn:
        raise UsageError(f"label filter {self._text!r}: {fault} at character {position}")

    def _fail_here(self, expected: str) -> NoReturn:
        token = self._token
        got = "the end" if token.kind == "mark" and not token.text else repr(token.text)
        self._fail(token.position, f"expected {expected}, got {got}")

    def _take(self) -> _Token:
        token = self._token
        self._token = next(self._tokens, token)
        return token

    def _take_mark(self, *marks: str) -> _Token | None:
        return self._take() if self._token.kind == "mark" and self._token.text in marks else None

    def _take_keyword(self, word: str) -> _Token | None:
        return self._take() if self._token.is_keyword(word) else None

    def parse(self) -> str:
        sql = self._disjunction()
        if self._token.kind != "mark" or self._token.text:
            self._fail_here("and, or, or the end")
        return sql

    def _disjunction(self) -> str:
        terms = [self._conjunction()]
        while self._take_keyword("or"):
            terms.append(self._conjunction())
        return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"

    def _conjunction(self) -> str:
        terms = [self._negation()]
        while self._take_keyword("and"):
            terms.append(self._negation())
        return terms[0] if len(terms) == 1 else f"({' AND '.join(terms)})"

    def _negation(self) -> str:
        position = self._token.position
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(position, f"nested more than {MAX_DEPTH} deep")
        if self._take_keyword("not"):
            sql = f"NOT {self._negation()}"
        elif self._take_mark("("):
            sql = self._disjunction()
            if not self._take_mark(")"):
                self._fail_here("and, or, or )")
        elif self._take_keyword("has"):
            self._keep(self._take_word("a label's key"))
            sql = _WITH_LABEL.format("IN", "")
        else:
            sql = self._comparison()
        self._depth -= 1
        return sql

    def _comparison(self) -> str:
        self._keep(self._take_word("a label's key"))
        if self._take_keyword("in"):
            return _WITH_LABEL.format("IN", f" AND value IN ({self._list()})")
        operator = self._take_mark("=", "!=", "<", "<=", ">", ">=")
        if operator is None:
            self._fail_here("one of = != < <= > >= in")
        if operator.text in ("=", "!="):
            self._keep(self._take_word("a value"))
            return _WITH_LABEL.format("IN" if operator.text == "=" else "NOT IN", " AND value = ?")
        number = None if self._token.kind == "mark" else to_number(self._token.text)
        if number is None:
            self._fail_here("a number")
        self._take()
        self._keep(number)
        return _WITH_LABEL.format("IN", f" AND label_number(value) {operator.text} ?")

    def _list(self) -> str:
        if not self._take_mark("("):
            self._fail_here("( and a list of values")
        count = 0
        while count == 0 or self._take_mark(","):
            self._keep(self._take_word("a value"))
            count += 1
        if not self._take_mark(")"):
            self._fail_here(", or )")
        return ", ".join("?" * count)

    def _take_word(self, expected: str) -> str:
        if self._token.kind == "mark":
            self._fail_here(expected)
        if self._token.kind == "word" and self._token.text.lower() in _KEYWORDS:
            self._fail_here(f"{expected} (the keyword itself stands in quotes)")
        return self._take().text

    def _keep(self, value: str | float) -> None:
        self.values.append(value)
        if len(self.values) > MAX_VALUES:
            self._fail(self._token.position, f"more than {MAX_VALUES} keys and values")
