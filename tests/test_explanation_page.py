"""The page that explains a match: colours where the map says, and what it prints."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from edgesim.explanation_page import Candidate, Side, explanation_page, full_colour, heat_picture

GREY = Image.new("RGB", (160, 80), (100, 100, 100))


def changes(row: int, column: int, value: float) -> np.ndarray:
    found = np.zeros((8, 8), dtype=np.float32)
    found[row, column] = value
    return found


@pytest.mark.parametrize("value", [0.3, -0.3])
def test_the_region_that_matters_has_the_colour(value: float) -> None:
    side = Side(name="a.png", picture=GREY, changes=changes(6, 1, value))
    pixels = np.asarray(heat_picture(side), dtype=int)
    assert pixels.shape == (80, 160, 3)
    # The cell's middle, in a picture twice as wide as high.
    centre = pixels[65, 30]
    colour = (213, 94, 0) if value > 0 else (0, 114, 178)
    expected = 0.25 * 100 + 0.75 * np.array(colour)
    assert np.abs(centre - expected).max() < 12
    assert np.abs(pixels[:40] - 100).max() <= 3
    red, blue = centre[0], centre[2]
    assert (red > blue) == (value > 0)


def test_noise_does_not_glow() -> None:
    side = Side(name="a.png", picture=GREY, changes=changes(6, 1, 0.001))
    assert np.abs(np.asarray(heat_picture(side), dtype=int) - 100).max() < 6
    assert (full_colour(changes(0, 0, 0.001)), full_colour(changes(0, 0, -0.5))) == (0.02, 0.5)


def test_large_pictures_are_made_small() -> None:
    side = Side(name="a.png", picture=Image.new("RGB", (4000, 2000)), changes=changes(0, 0, 0.1))
    assert heat_picture(side).size == (420, 210)
    assert side.picture.size == (4000, 2000)


def candidate(rank: int, **known: object) -> Candidate:
    facts = {"similarity": 0.9 / rank, "score": None, "verdict": None, "path": f"/p/<{rank}>.png"}
    return Candidate(rank=rank, explained=rank == 1, **{**facts, **known})  # type: ignore[arg-type]


def page(*candidates: Candidate, margin: float | None = 0.45) -> str:
    query = Side(name="q<1>.png", picture=GREY, changes=changes(0, 0, 0.123))
    entry = Side(name="/p/<1>.png", picture=GREY, changes=changes(7, 7, -0.456))
    return explanation_page(query, entry, 0.9, margin, candidates)


def test_what_it_prints() -> None:
    html = page(candidate(1), candidate(2))
    assert "http" not in html
    assert "<p>Similarity 0.9000; 0.4500 ahead of the next candidate.</p>" in html
    assert html.index("change of 0.123") < html.index("q&lt;1&gt;.png") < html.index("change of 0.456")
    rows = re.findall(r"<tr(?: class=\"this\")?><td>(.*?)</td></tr>", html)
    assert [row.split("</td><td>") for row in rows] == [
        ["1", "0.9000", "/p/&lt;1&gt;.png"],
        ["2", "0.4500", "/p/&lt;2&gt;.png"],
    ]
    assert html.count('<tr class="this">') == 1
    assert "there is no next candidate" in page(candidate(1), margin=None)


def test_scores_and_verdicts_where_there_are_any() -> None:
    known = {"score": 0.25, "verdict": "unsure"}
    html = page(candidate(1, **known), candidate(2, score=-0.125, verdict="no match"))
    assert re.findall('<th scope="col">(.*?)</th>', html) == [
        "rank",
        "similarity",
        "score",
        "verdict",
        "path",
    ]
    assert "<td>0.9000</td><td>0.2500</td><td>unsure</td>" in html
    assert "<td>0.4500</td><td>-0.1250</td><td>no match</td>" in html


def test_four_pictures() -> None:
    data = re.findall(r'src="data:image/jpeg;base64,(.*?)"', page(candidate(1)))
    found = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))), dtype=int) for one in data]
    assert [one.shape for one in found] == [(80, 160, 3)] * 4
    # Heat and plain picture of the query, then of the match.
    assert found[0][2, 5, 0] > found[0][2, 5, 2] + 50
    assert found[2][-2, -5, 2] > found[2][-2, -5, 0] + 50
    assert [int(np.abs(found[i] - 100).max()) for i in (1, 3)] == [0, 0]
