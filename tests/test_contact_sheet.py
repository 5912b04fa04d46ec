"""The contact sheet: its size, where pictures and frames are, and that right and wrong differ in shape."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesim.contact_sheet import Pair, Row, draw_contact_sheet
from edgesim.errors import ImageError

GREEN, VERMILION = (0, 138, 100), (213, 94, 0)
QUERY, MATCH = (10, 20, 230), (230, 200, 10)
WHITE = (255, 255, 255)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    for name, colour in (("query", QUERY), ("match", MATCH)):
        Image.new("RGB", (300, 200), colour).save(tmp_path / f"{name}.png")
    return Pair(
        query=tmp_path / "query.png",
        match=tmp_path / "match.png",
        query_caption="query",
        match_caption="match",
        score=0.98,
        right=True,
    )


def changed(pair: Pair, **changes: object) -> Pair:
    return Pair(**{**vars(pair), **changes})  # type: ignore[arg-type]


def sheet(*rows: list[Pair]) -> np.ndarray:
    drawn = [Row(heading=f"row {number}", note="note", pairs=pairs) for number, pairs in enumerate(rows)]
    image = draw_contact_sheet("title", "subtitle", drawn)
    assert image.mode == "RGB"
    return np.asarray(image)


def where(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((pixels == colour).all(axis=2))


def columns_of(mask: np.ndarray) -> tuple[int, int]:
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(columns[-1])


def test_three_pairs_make_1600_pixels(pair: Pair) -> None:
    one, six = sheet([pair] * 3), sheet(*[[pair] * 3] * 6)
    assert one.shape[1] == six.shape[1] == 1600
    assert six.shape[0] > 1000 > one.shape[0]


def test_the_width_follows_the_longest_row(pair: Pair) -> None:
    widths = [sheet([pair], [pair] * count).shape[1] for count in (1, 2, 3)]
    assert widths[2] - widths[1] == widths[1] - widths[0] > 0
    assert widths[2] == 1600


def test_query_match_and_score_stand_side_by_side(pair: Pair) -> None:
    pixels = sheet([pair])
    query, match = columns_of(where(pixels, QUERY)), columns_of(where(pixels, MATCH))
    white_tick = columns_of(
        where(pixels[160:], WHITE) & ~where(sheet([changed(pair, right=False)])[160:], WHITE)
    )
    assert query[0] < query[1] < match[0] < match[1] < white_tick[0]
    # 300 x 200 fits 158 x 126 at 158 x 105: nothing is cut off or stretched.
    assert query[1] - query[0] + 1 == 158
    assert where(pixels, QUERY).any(axis=1).sum() == pytest.approx(105, abs=1)


def test_right_and_wrong_by_colour(pair: Pair) -> None:
    pixels = sheet([pair, changed(pair, right=False)])
    middle = (columns_of(where(pixels, GREEN))[1] + columns_of(where(pixels, VERMILION))[0]) // 2
    assert not where(pixels[:, middle:], GREEN).any()
    assert not where(pixels[:, :middle], VERMILION).any()
    # Each is framed: a line of its colour as long as the card.
    assert where(pixels, GREEN).sum(axis=1).max() > 400
    assert where(pixels, VERMILION).sum(axis=1).max() > 400


def test_right_and_wrong_without_colour(pair: Pair) -> None:
    """In the disc is a tick or a cross: a cross looks the same upside down, a tick does not."""
    asymmetry = {}
    for right, colour in ((True, GREEN), (False, VERMILION)):
        beside_pictures = sheet([changed(pair, right=right)])[170:240, -130:-45]  # and within the frame
        rows, columns = np.nonzero(where(beside_pictures, colour))
        disc = beside_pictures[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert disc.shape[:2] == (36, 36)
        stroke = disc[6:30, 6:30].min(axis=2) > 128
        assert 50 < stroke.sum() < 250
        asymmetry[right] = float(np.mean(stroke != stroke[::-1]))
    assert asymmetry[True] > 0.15 > 0.05 > asymmetry[False]


def test_a_query_without_a_match(pair: Pair) -> None:
    pixels = sheet([changed(pair, match=None, match_caption="nothing", right=False)])
    assert where(pixels, QUERY).any()
    assert not where(pixels, MATCH).any()


def test_long_captions_stay_below_their_picture(pair: Pair) -> None:
    long = sheet([changed(pair, query_caption="m" * 200, match_caption="")])
    ink = long[160 + 12 + 126 :, 206:] < 100
    left, right = columns_of(ink.all(axis=2))
    query = columns_of(where(long[:, 206:], QUERY))
    assert query[0] - 2 <= left < right <= query[1] + 2


def test_a_long_heading_takes_more_lines_and_stays_beside_the_cards(pair: Pair) -> None:
    drawn = {}
    for heading in ("small", "small on background"):
        row = Row(heading=heading, note="", pairs=[pair])
        drawn[heading] = np.asarray(draw_contact_sheet("", "", [row]))[160:]
    ink = {heading: pixels[:, :206].min(axis=2) < 100 for heading, pixels in drawn.items()}
    tall = {heading: np.ptp(np.flatnonzero(mask.any(axis=1))) for heading, mask in ink.items()}
    assert tall["small on background"] > tall["small"] + 25
    assert columns_of(ink["small on background"])[1] < 200
    np.testing.assert_array_equal(drawn["small"][:, 206:], drawn["small on background"][:, 206:])


def test_an_empty_sheet() -> None:
    assert sheet().shape[2] == 3


def test_a_picture_that_cannot_be_decoded(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        sheet([changed(pair, match=tmp_path / "gone.png")])
    assert str(caught.value) == f"{tmp_path / 'gone.png'}: no such file"
