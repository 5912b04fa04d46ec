"""The page of a calibration: its figures, its pictures, and texts that would be markup."""

import base64
import io
import re

import numpy as np
from PIL import Image

from edgesim.calibration_page import Case, PageFacts, calibration_page, sentences
from edgesim.thresholds import Aims, ScoreSet, calibrate
from tests.helpers import photo

SCORES = ScoreSet(positives=np.linspace(0.5, 0.98, 100), negatives=np.linspace(0, 0.6, 1000), weight=0.5)
FOUND = calibrate(SCORES, Aims(false_alarms=0.02, misses=0.1))
FACTS = PageFacts(
    index="a<b", encoder="tiny (12)", entries=1234, source="x & y", background=7, notes=("2 <left> out.",)
)


def case(score: float, picture: Image.Image | None) -> Case:
    return Case(score=score, query="q<1>.png", query_picture=picture, entry="e.png", entry_picture=picture)


def page() -> str:
    pictures = [Image.fromarray(photo(seed, 480, 320)) for seed in range(2)]
    missed = [case(0.5, pictures[0]), case(0.51, None)]
    return calibration_page(FACTS, SCORES, FOUND, missed, [case(0.6, pictures[1])])


def test_it_needs_no_other_file_and_escapes_texts() -> None:
    html = page()
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "<h1>Thresholds of a&lt;b</h1>" in html
    assert "made from x &amp; y." in html
    assert "nearest of 7 background images" in html
    assert "<p>2 &lt;left&gt; out.</p>" in html
    assert html.count("<figcaption>q&lt;1&gt;.png</figcaption>") == 3


def test_what_queries_are_told() -> None:
    # 500 independent queries without a match show 2 % with 4 events (upper limit 1.82 %; 2.09 % with 5), so 8
    # of 1,000 are allowed; 100 with one show 10 % with 4 (8.92 %; 10.23 % with 5).
    lower, upper = FOUND.thresholds.lower, FOUND.thresholds.upper
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page())
    cells = {name: re.findall("<td>(.*?)</td>", cells) for name, cells in rows}
    for name, kind in (("with a match", SCORES.positives), ("without a match", SCORES.negatives)):
        match, below = np.mean(kind >= upper), np.mean(kind < lower)
        expected = [f"{100 * share:.2f} %" for share in (match, 1 - match - below, below)]
        assert cells[name] == [f"{len(kind):,}", *expected]
    assert FOUND.false_alarms.events == int((SCORES.negatives >= upper).sum()) == 8
    assert FOUND.misses.events == int((SCORES.positives < lower).sum()) == 4


def test_sentences() -> None:
    lower, upper = FOUND.thresholds.lower, FOUND.thresholds.upper
    alarms, misses = FOUND.false_alarms, FOUND.misses
    assert sentences(FOUND) == [
        f"match from {upper:.4f} on; no match below {lower:.4f}; unsure between.",
        "false alarms: 8 of 1,000 queries without a match are called a match, at least "
        f"{100 * alarms.at_least:.3g} % and at most 1.82 % with 95 % confidence; at most 2 % was asked for.",
        "misses: 4 of 100 queries with a match are called no match, at least "
        f"{100 * misses.at_least:.3g} % and at most 8.92 % with 95 % confidence; at most 10 % was asked for.",
    ]
    apart = calibrate(ScoreSet(positives=np.full(59, 0.9), negatives=np.full(299, 0.2)), Aims())
    assert sentences(apart)[0] == "match from 0.2000 on; no match below 0.2000; never unsure."


def test_pictures_are_small_and_the_right_ones() -> None:
    html = page()
    found = [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r'src="data:image/jpeg;base64,(.*?)"', html)
    ]
    assert {image.size for image in found} == {(73, 110)}
    for image, seed in zip(found, (1, 1, 0, 0), strict=True):
        expected = Image.fromarray(photo(seed, 480, 320)).resize((73, 110))
        difference = np.abs(np.asarray(image, dtype=float) - np.asarray(expected, dtype=float))
        assert difference.mean() < 6
    assert (
        html.count('<img alt="query: cannot be read">')
        == html.count('<img alt="entry: cannot be read">')
        == 1
    )
    assert html.index("Most alarming") < html.index("<p>0.6000</p>") < html.index("Hardest to find")
