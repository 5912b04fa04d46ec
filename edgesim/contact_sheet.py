"""A contact sheet: queries and their best matches side by side, with score and a mark for right or wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from edgesim.preprocess import decode_image

Colour = tuple[int, int, int]
Box = tuple[int, int]

# Bluish green and vermilion of the Okabe-Ito palette, which are told apart in every kind of colour blindness;
# the mark says the same a second time.
_RIGHT: Colour = (0, 138, 100)
_WRONG: Colour = (213, 94, 0)
_INK: Colour = (28, 32, 38)
_FAINT: Colour = (106, 113, 122)
_PAPER: Colour = (255, 255, 255)
_CARD: Colour = (243, 245, 247)

# In pixels; three pairs in a row make a sheet of 1600.
_MARGIN = 40
_HEADING = 166
_GAP = 14
_PICTURE = (158, 126)
_PAD = 12
_SCORE = 78
_CARD_SIZE = (_PICTURE[0] * 2 + _SCORE + _PAD * 4, _PICTURE[1] + 2 * _PAD + 28)
_TOP = 160
_MARK = 36


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """A query and its best match.

    Attributes:
        query: image file that was looked up.
        match: image file that was found, None if nothing was.
        query_caption: printed below the query.
        match_caption: printed below the match.
        score: printed beside them.
        right: whether it is the one that was to be found.
    """

    query: Path
    match: Path | None
    query_caption: str
    match_caption: str
    score: float
    right: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """Pairs that belong together, under a heading and a smaller line of text."""

    heading: str
    note: str
    pairs: Sequence[Pair]


def draw_contact_sheet(title: str, subtitle: str, rows: Sequence[Row]) -> Image.Image:
    """Return an RGB picture of all rows, as wide as the longest: 1600 pixels for three pairs.

    Raises `ImageError` for a query or match that cannot be decoded.
    """
    columns = max((len(row.pairs) for row in rows), default=1)
    width = 2 * _MARGIN + _HEADING + columns * (_CARD_SIZE[0] + _GAP) - _GAP
    height = _TOP + len(rows) * (_CARD_SIZE[1] + _GAP) - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 34), title, _INK, _font(36))
    draw.text((_MARGIN, 84), subtitle, _FAINT, _font(19))
    for column in range(columns):
        _draw_column_heads(draw, _card_left(column))
    for number, row in enumerate(rows):
        top = _TOP + number * (_CARD_SIZE[1] + _GAP)
        _draw_heading(draw, row, top + _PAD + 34)
        for column, pair in enumerate(row.pairs):
            sheet.paste(_draw_card(pair), (_card_left(column), top))
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _card_left(column: int) -> int:
    return _MARGIN + _HEADING + column * (_CARD_SIZE[0] + _GAP)


def _picture_left(which: int) -> int:
    return _PAD + which * (_PICTURE[0] + _PAD)


def _draw_heading(draw: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    """Draw the heading in as many lines as it needs beside the cards, and the note below."""
    lines: list[str] = []
    for word in row.heading.split():
        if lines and _font(25).getlength(f"{lines[-1]} {word}") <= _HEADING - _GAP:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, top + 30 * number), line, _INK, _font(25))
    draw.text((_MARGIN, top + 4 + 30 * len(lines)), row.note, _FAINT, _font(17))


def _draw_column_heads(draw: ImageDraw.ImageDraw, left: int) -> None:
    heads = ("query", "best match", "similarity")
    widths = (_PICTURE[0], _PICTURE[0], _SCORE)
    for which, (head, width) in enumerate(zip(heads, widths, strict=True)):
        centre = left + _picture_left(which) + width // 2
        draw.text((centre, _TOP - 12), head, _FAINT, _font(18), anchor="ms")


def _draw_card(pair: Pair) -> Image.Image:
    colour = _RIGHT if pair.right else _WRONG
    card = Image.new("RGB", _CARD_SIZE, _CARD)
    draw = ImageDraw.Draw(card)
    captions = (pair.query_caption, pair.match_caption)
    for which, (path, caption) in enumerate(zip((pair.query, pair.match), captions, strict=True)):
        left = _picture_left(which)
        if path is not None:
            card.paste(_thumbnail(path), (left, _PAD))
        ink = colour if which == 1 and not pair.right else _INK
        place = (left + _PICTURE[0] // 2, _PAD + _PICTURE[1] + 22)
        draw.text(place, _shortened(caption, _PICTURE[0]), ink, _font(16), anchor="ms")
    centre = _picture_left(2) + _SCORE // 2
    card.paste(_mark(pair.right), (centre - _MARK // 2, _PAD + 26))
    draw.text((centre, _PAD + 98), f"{pair.score:.2f}", colour, _font(27), anchor="ms")
    draw.rectangle((0, 0, _CARD_SIZE[0] - 1, _CARD_SIZE[1] - 1), outline=colour, width=3)
    return card


def _thumbnail(path: Path) -> Image.Image:
    image = decode_image(path, min_side=max(_PICTURE))
    return ImageOps.pad(image, _PICTURE, Image.Resampling.LANCZOS, color=_CARD)


def _shortened(text: str, width: int) -> str:
    """Return the text, cut at its end so that it is at most so many pixels wide."""
    font = _font(16)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _mark(right: bool) -> Image.Image:
    """Return a white tick on a green disc, or a white cross on a vermilion one."""
    scale = 4  # Pillow draws without antialiasing: drawn large and made small
    size = _MARK * scale
    mark = Image.new("RGB", (size, size), _CARD)
    draw = ImageDraw.Draw(mark)
    draw.ellipse((0, 0, size - 1, size - 1), fill=_RIGHT if right else _WRONG)
    tick = [[(0.26, 0.53), (0.44, 0.70), (0.76, 0.34)]]
    cross = [[(0.31, 0.31), (0.69, 0.69)], [(0.31, 0.69), (0.69, 0.31)]]
    for stroke in tick if right else cross:
        draw.line([(x * size, y * size) for x, y in stroke], _PAPER, width=size // 8, joint="curve")
    return mark.resize((_MARK, _MARK), Image.Resampling.LANCZOS)
