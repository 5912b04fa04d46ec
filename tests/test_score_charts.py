"""The charts of a calibration, read back from their SVG."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from edgesim.chart_labels import text_width
from edgesim.score_charts import distribution_chart, roc_chart, score_axis, share_axis
from edgesim.thresholds import ScoreSet, Thresholds

SVG = "{http://www.w3.org/2000/svg}"
RNG = np.random.default_rng(0)
SCORES = ScoreSet(positives=RNG.normal(0.75, 0.1, 300), negatives=RNG.normal(0.4, 0.1, 1000))
# Where the plot lies in the picture.
LEFT, RIGHT = 68, 840


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def texts(svg: ET.Element) -> dict[str, ET.Element]:
    return {element.text or "": element for element in svg.iter(f"{SVG}text")}


def test_bars_are_the_shares_of_each_kind() -> None:
    thresholds = Thresholds(lower=0.5, upper=0.7)
    svg = parsed(distribution_chart(SCORES, thresholds))
    axis = score_axis(SCORES, thresholds, LEFT, RIGHT)
    edges = np.linspace(axis.low, axis.high, 61)
    bars: dict[str, list[ET.Element]] = {}
    for rect in svg.iter(f"{SVG}rect"):
        bars.setdefault(rect.get("fill", ""), []).append(rect)
    unsure = bars.pop("#f2f3f5")[0]
    assert float(unsure.get("x")) == pytest.approx(axis.place(0.5), abs=0.06)
    assert float(unsure.get("width")) == pytest.approx(axis.place(0.7) - axis.place(0.5), abs=0.06)
    counts = [np.histogram(kind, edges)[0] for kind in (SCORES.positives, SCORES.negatives)]
    shares = [one / one.sum() for one in counts]
    longest = max(share.max() for share in shares)
    middle = {float(bar.get("y")) for bar in bars["#d55e00"]}
    assert len(middle) == 1
    room = max(float(bar.get("height")) for colour in bars.values() for bar in colour)
    for colour, share in zip(("#0072b2", "#d55e00"), shares, strict=True):
        drawn = bars[colour]
        filled = np.flatnonzero(share)
        assert len(drawn) == len(filled)
        for bar, column in zip(drawn, filled, strict=True):
            assert float(bar.get("x")) == pytest.approx(axis.place(edges[column]) + 0.5, abs=0.06)
            height = max(1.5, share[column] / longest * room)
            assert float(bar.get("height")) == pytest.approx(height, abs=0.11)
            foot = float(bar.get("y")) + (float(bar.get("height")) if colour == "#0072b2" else 0)
            assert foot == pytest.approx(middle.copy().pop(), abs=0.11)


@pytest.mark.parametrize(
    ("lower", "upper"), [(0.5, 0.7), (0.55, 0.56), (0.1, 0.12), (1.0, 1.02), (0.12, 1.0), (0.6, 0.6)]
)
def test_words_at_the_thresholds_stay_inside_and_free(lower: float, upper: float) -> None:
    thresholds = Thresholds(lower=lower, upper=upper)
    svg = parsed(distribution_chart(SCORES, thresholds))
    axis = score_axis(SCORES, thresholds, LEFT, RIGHT)
    spans = {}
    for words, value in ((f"no match below {lower:.3f}", lower), (f"match from {upper:.3f}", upper)):
        element = texts(svg)[words]
        x, y, width = float(element.get("x")), float(element.get("y")), text_width(words)
        left = x if element.get("text-anchor") == "start" else x - width
        assert left >= LEFT
        assert left + width <= RIGHT
        assert abs(x - axis.place(value)) < 7
        spans[words] = (left, left + width, y)
    (low_left, low_right, low_y), (high_left, high_right, high_y) = spans.values()
    lines = {  # x of each threshold's line, and where it begins
        float(x): float(top)
        for x, top in re.findall(
            r'd="M([\d.]+) ([\d.]+)L\1 [\d.]+" stroke="#1c2026"', distribution_chart(SCORES, thresholds)
        )
    }
    for left, right, y in ((low_left, low_right, low_y), (high_left, high_right, high_y)):
        crossing = [top for x, top in lines.items() if left < x < right and top < y]
        assert crossing == []


def test_the_curve_passes_the_two_thresholds() -> None:
    thresholds = Thresholds(lower=0.5, upper=0.7)
    svg = parsed(roc_chart(SCORES, thresholds))
    x = share_axis(1000, LEFT, RIGHT)
    circles = [(float(c.get("cx")), float(c.get("cy"))) for c in svg.iter(f"{SVG}circle")]
    levels = {
        float(name): float(t.get("y")) - 5
        for name, t in texts(svg).items()
        if t.get("text-anchor") == "end" and name.isdigit()
    }
    for (px, py), threshold in zip(circles, (0.7, 0.5), strict=True):
        alarms = max(0.0005, float(np.mean(SCORES.negatives >= threshold)))
        found = float(np.mean(SCORES.positives >= threshold))
        assert px == pytest.approx(x.place(alarms), abs=0.06)
        assert py == pytest.approx(levels[0] + found * (levels[100] - levels[0]), abs=0.11)
    curve = max((p.get("d", "") for p in svg.iter(f"{SVG}path")), key=len)
    corners = [tuple(map(float, corner.split())) for corner in re.split("[ML]", curve)[1:]]
    assert corners == sorted(corners, key=lambda corner: (corner[0], -corner[1]))
    for px, py in circles:
        # The step that ends here, or the vertical between two of them.
        before = [cy for cx, cy in corners if cx <= px - 0.11][-1:]
        ys = before + [cy for cx, cy in corners if abs(cx - px) < 0.11]
        assert min(ys) - 0.11 <= py <= max(ys) + 0.11
    assert corners[-1] == (pytest.approx(RIGHT, abs=0.06), pytest.approx(levels[100], abs=0.11))


def test_axes() -> None:
    assert share_axis(1000, 0, 1).ticks == (0.001, 0.01, 0.1, 1.0)
    assert share_axis(50, 0, 1).ticks == (0.01, 0.1, 1.0)
    same = ScoreSet(positives=np.array([0.5]), negatives=np.array([0.5]))
    axis = score_axis(same, Thresholds(lower=0.5, upper=0.5), 0, 1)
    assert axis.low < axis.high
    wide = ScoreSet(positives=np.array([1.0]), negatives=np.array([-1.0]))
    assert len(score_axis(wide, Thresholds(lower=0, upper=0), 0, 1).ticks) <= 12
