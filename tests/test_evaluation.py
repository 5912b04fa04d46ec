"""Evaluations of hand-made embeddings, and the page that shows them, read back picture by picture."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from edgesim.errors import InputError
from edgesim.evaluation import Evaluation, Subject, evaluate_embeddings
from edgesim.evaluation_page import evaluation_page
from edgesim.size_quality import Point

SUBJECT = Subject(encoder="hand <made>", engine="none 1", model_bytes=12345, dataset="angles")
VOID = {"meta", "img", "br"}


def evaluation(degrees: list[float], labels: list[int]) -> Evaluation:
    radians = np.radians(np.array(degrees))
    embeddings = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    names = tuple(f"class {number} & more" for number in range(max(labels) + 1))
    return evaluate_embeddings(embeddings, np.array(labels), names, SUBJECT)


class Page(HTMLParser):
    """Rows of the page's answers, as (kind, caption, picture) each; fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.rows: list[list[tuple[str, str, Image.Image]]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")
        elif values.get("class") == "row":
            self.rows.append([])
        elif tag == "figure":
            self.kind = values["class"]
        elif tag == "img":
            data = values["src"].removeprefix("data:image/png;base64,")
            self.image = Image.open(io.BytesIO(base64.b64decode(data)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open[-1:] == ["td"]:
            self.cells[-1] += text
        elif self.open[-1:] == ["b"]:
            self.rows[-1].append((self.kind, text, self.image))


def grey(count: int) -> np.ndarray:
    """Images that are told apart by their brightness: number i has 10 i."""
    return np.broadcast_to(10 * np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3))


def test_figures_by_hand():
    result = evaluation([0, 10, 30, 60], [0, 0, 2, 2])
    np.testing.assert_array_equal(result.neighbours, [[1, 2, 3], [0, 2, 3], [1, 0, 3], [2, 1, 0]])
    cosines = np.cos(np.radians([[10, 30, 60], [10, 20, 50], [20, 30, 30], [30, 50, 60]]))
    np.testing.assert_allclose(result.similarities, cosines, atol=1e-6)
    third = 100 / 3
    assert result.to_dict() == {
        "encoder": "hand <made>",
        "engine": "none 1",
        "model_bytes": 12345,
        "dataset": "angles",
        "images": 4,
        # Right: 0, 10 and 60. R is 1, so that the last three are one.
        "metrics": {"precision_at_1": 0.75, "precision_at_10": 0.1, "r_precision": 0.75, "map_at_r": 0.75},
        "classes": ["class 0 & more", "class 1 & more", "class 2 & more"],
        "confusion_neighbours": 3,
        "confusion_percent": [
            [round(third, 2), 0.0, round(2 * third, 2)],
            [0.0, 0.0, 0.0],
            [round(2 * third, 2), 0.0, round(third, 2)],
        ],
    }


def test_no_class_with_two_images():
    with pytest.raises(InputError) as error:
        evaluation([0, 10], [0, 1])
    assert str(error.value) == (
        "angles: no class has two images among the 2 evaluated; add images, or raise --limit"
    )


def test_page_shows_queries_with_their_neighbours():
    page = Page(evaluation_page(evaluation([0, 10, 30, 60], [0, 0, 2, 2]), grey(4)))
    shown = [
        [(kind, caption, image.getpixel((4, 4))[0] // 10) for kind, caption, image in row]
        for row in page.rows
    ]
    assert shown == [
        [("query", "query", 0), ("right", "✓ 0.98", 1), ("wrong", "✗ 0.87", 2), ("wrong", "✗ 0.50", 3)],
        [("query", "query", 1), ("right", "✓ 0.98", 0), ("wrong", "✗ 0.94", 2), ("wrong", "✗ 0.64", 3)],
        [("query", "query", 3), ("right", "✓ 0.87", 2), ("wrong", "✗ 0.64", 1), ("wrong", "✗ 0.50", 0)],
        [("query", "query", 2), ("wrong", "✗ 0.94", 1), ("wrong", "✗ 0.87", 0), ("right", "✓ 0.87", 3)],
    ]


def test_page_has_figures_and_matrix():
    html = evaluation_page(evaluation([0, 10, 30, 60], [0, 0, 2, 2]), grey(4))
    figures, corner, matrix = (lambda cells: (cells[:4], cells[4], cells[5:]))(Page(html).cells)
    assert figures == ["75.00 %", "10.00 %", "75.00 %", "75.00 %"]
    assert corner == ""
    assert matrix == ["33.3", "0.0", "66.7", "0.0", "0.0", "0.0", "66.7", "0.0", "33.3"]
    assert html.count(">class 1 &amp; more<") == 2
    assert "<h1>hand &lt;made&gt; on angles</h1>" in html
    assert "none 1, model file of 12,345 bytes; 4 images of 3 classes" in html
    assert "class of its 3 nearest neighbours" in html
    assert "Answered right: 3 of 4<" in html
    assert "Answered wrong: 1 of 4<" in html


def test_a_full_cell_is_dark_with_light_ink_and_an_empty_one_white():
    html = evaluation_page(evaluation([0, 10, 30, 60], [0, 0, 2, 2]), grey(4))
    assert html.count('<td style="background:rgb(255,255,255);color:#1c2026">0.0</td>') == 5
    html = evaluation_page(evaluation([0, 1], [0, 0]), grey(2))
    assert '<td style="background:rgb(8,64,129);color:#fff">100.0</td>' in html


def points(result: Evaluation) -> list[Point]:
    """Return that of an evaluation (12,345 bytes, 75 %), one of its size that is worse, and a better one."""
    same = Point(encoder="<b>same</b>", engine="none 2", model_bytes=12345, precision_at_1=0.5)
    better = Point(encoder="better", engine="none 1", model_bytes=2_000_000, precision_at_1=0.875)
    return [Point.of(result), same, better]


def test_page_has_the_curve_with_a_table_of_its_points():
    result = evaluation([0, 10, 30, 60], [0, 0, 2, 2])
    html = evaluation_page(result, grey(4), points(result))
    cells = Page(html).cells[4:19]
    assert cells == [
        *("12,345", "75.00 %", "✓", "hand <made>", "none 1"),
        *("12,345", "50.00 %", "", "<b>same</b>", "none 2"),
        *("2,000,000", "87.50 %", "✓", "better", "none 1"),
    ]
    assert html.count('<tr class="this">') == 1
    assert '<tr class="this"><td>12,345</td><td>75.00 %</td>' in html
    assert html.count("<svg") == 1
    assert (
        "Model file: of a run its float encoder.pt, of a bundle the int8 model that the engine runs." in html
    )


def test_page_of_one_encoder_says_how_to_get_the_curve():
    result = evaluation([0, 10, 30, 60], [0, 0, 2, 2])
    for html in (evaluation_page(result, grey(4)), evaluation_page(result, grey(4), points(result)[:1])):
        assert "<svg" not in html
        assert (
            "<p>One encoder makes no curve: <code>edgesim evaluate --compare FILE|FOLDER</code> adds others "
            "that were evaluated on the same images with <code>--out</code>.</p>"
        ) in html


def test_page_needs_no_other_file():
    result = evaluation([0, 10, 30, 60], [0, 0, 2, 2])
    html = evaluation_page(result, grey(4), points(result))
    # A name of a language, which nothing is loaded from.
    html = html.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.findall(r"https?:|url\(|@import|<script|<link|<iframe", html)
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(sources) == 16
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_at_most_eight_of_each_kind_spread_over_the_set():
    page = Page(evaluation_page(evaluation([*range(25)], [0] * 25), grey(25)))
    assert [row[0][2].getpixel((0, 0))[0] // 10 for row in page.rows] == [0, 3, 7, 10, 14, 17, 21, 24]
    assert {len(row) for row in page.rows} == {6}
