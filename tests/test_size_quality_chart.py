"""The size/quality curve: its axes against hand numbers, and the SVG read back element by element."""

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from edgesim.chart_labels import Box, place_labels, shortened
from edgesim.size_quality import Point
from edgesim.size_quality_chart import percent_axis, size_axis, size_quality_chart

SVG = "{http://www.w3.org/2000/svg}"


def point(encoder: str, model_bytes: int, percent: float, engine: str = "e") -> Point:
    return Point(encoder=encoder, engine=engine, model_bytes=model_bytes, precision_at_1=percent / 100)


def drawn(points: list[Point], this: int = 0) -> ElementTree.Element:
    return ElementTree.fromstring(size_quality_chart(points, points[this]))


def texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


def markers(svg: ElementTree.Element) -> dict[str, tuple[str, float, float, str]]:
    """What each point's title says -> shape, place and filling of its marker."""
    found = {}
    for group in svg.iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        if title is not None:
            shape = group[1]
            if shape.tag == f"{SVG}circle":
                x, y = float(shape.attrib["cx"]), float(shape.attrib["cy"])
            else:  # a diamond, which starts at its top
                x, top, half = map(float, re.match(r"M(\S+) (\S+)l(\S+) ", shape.attrib["d"]).groups())
                y = top + half
            found[title.text] = (shape.tag.removeprefix(SVG), x, y, shape.attrib["fill"])
    return found


def test_size_axis_is_logarithmic():
    axis = size_axis([16_000, 1_000_000], start=100, end=400)
    assert (axis.low, axis.high) == pytest.approx((10_000, 1_600_000))
    assert axis.place(axis.low) == pytest.approx(100)
    assert axis.place(axis.high) == pytest.approx(400)
    # 40 kB lies a factor of 4 above the start, of 160 in all; the geometric mean lies in the middle.
    assert axis.place(40_000) == pytest.approx(100 + 300 * np.log(4) / np.log(160))
    assert axis.place(np.sqrt(10_000 * 1_600_000)) == pytest.approx(250)
    assert axis.ticks == (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)


def test_size_axis_of_near_and_of_far_sizes():
    near = size_axis([100_000, 100_000], start=0, end=1)
    assert near.high / near.low == pytest.approx(8)
    assert near.place(100_000) == pytest.approx(0.5)
    assert near.ticks == (50_000, 100_000, 200_000)
    far = size_axis([1_600, 100_000_000], start=0, end=1)
    assert far.ticks == (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
    assert size_axis([1], start=0, end=1).ticks == (1, 2)


@pytest.mark.parametrize(
    ("percents", "ticks"),
    [
        ([40, 60], (35, 40, 45, 50, 55, 60, 65)),
        ([5, 95], (0, 20, 40, 60, 80, 100)),
        ([73.1, 73.1], (72.6, 72.8, 73.0, 73.2, 73.4, 73.6)),
        ([100, 100], (99.5, 99.6, 99.7, 99.8, 99.9, 100)),
        ([0, 0], (0, 0.1, 0.2, 0.3, 0.4, 0.5)),
    ],
)
def test_percent_axis_is_linear_between_ticks(percents, ticks):
    axis = percent_axis(percents, start=300, end=100)
    assert axis.ticks == ticks
    assert (axis.low, axis.high) == (ticks[0], ticks[-1])
    assert [axis.place(value) for value in ticks] == pytest.approx(np.linspace(300, 100, len(ticks)))


def test_points_lie_where_the_ticks_say():
    svg = drawn([point("small", 20_000, 60), point("large", 2_000_000, 90), point("none", 200_000, 60)])
    found = markers(svg)
    ticks = {
        e.text: (float(e.attrib["x"]), float(e.attrib["y"]) - 5) for e in svg.iter(f"{SVG}text") if e.text
    }
    shapes = {name.split(",")[0]: marker for name, marker in found.items()}
    small, large, none = (shapes[name] for name in ("small", "large", "none"))
    assert small[:3] == ("path", pytest.approx(ticks["20 kB"][0]), pytest.approx(ticks["60"][1]))
    assert large[:3] == ("circle", pytest.approx(ticks["2 MB"][0]), pytest.approx(ticks["90"][1]))
    assert none[:3] == ("circle", pytest.approx(ticks["200 kB"][0]), pytest.approx(ticks["60"][1]))
    assert [marker[3] for marker in (small, large, none)] == ["#d55e00", "#0072b2", "#fff"]
    assert set(found) == {
        "small, e: 20,000 bytes, 60.00 %",
        "large, e: 2,000,000 bytes, 90.00 %",
        "none, e: 200,000 bytes, 60.00 %",
    }
    # From the small one right to the large one's size, up, and right to the end.
    front = next(
        e for e in svg.iter(f"{SVG}path") if e.attrib.get("stroke-width") == "2" and "L" in e.get("d")
    )
    corners = [tuple(map(float, corner.split())) for corner in front.attrib["d"][1:].split("L")]
    assert corners == [small[1:3], (large[1], small[2]), large[1:3], (840, large[2])]


def test_this_encoder_beside_the_front_is_an_empty_diamond():
    found = markers(drawn([point("this", 3_000, 50), point("better", 2_000, 60)]))
    assert {name.split(",")[0]: (marker[0], marker[3]) for name, marker in found.items()} == {
        "this": ("path", "#fff"),
        "better": ("circle", "#0072b2"),
    }


def test_chart_is_labelled_for_all():
    svg = drawn([point("one", 2_000, 50), point("two", 3_000, 60)])
    assert svg.attrib["role"] == "img"
    named = {e.attrib["id"]: e.text for e in svg if "id" in e.attrib}
    assert svg.attrib["aria-labelledby"].split() == list(named)
    assert list(named.values()) == [
        "Size of the model file against precision@1",
        "2 encoders; on the Pareto front: one, two",
    ]
    assert {"precision@1 (percent)", "model file (bytes, logarithmic; 1 kB = 1,000 bytes)"} <= set(texts(svg))


def test_names_are_escaped():
    html = size_quality_chart(
        [point("<script>&'\"", 2_000, 50), point("b", 3_000, 60)], point("b", 3_000, 60)
    )
    assert "<script" not in html
    assert "<script>&'\"" in texts(ElementTree.fromstring(html))


def test_names_say_only_what_is_needed_to_tell_them_apart():
    points = [
        point("builtin (00aa)", 10_000, 50, "onnx 1"),
        point("builtin (00aa)", 10_500, 55, "litert 2"),
        point("run (11bb)", 200_000, 70, "onnx 1"),
        point("run (22cc)", 300_000, 75, "onnx 1"),
        point("alone (33dd)", 4_000_000, 90, "onnx 1"),
    ]
    assert texts(drawn(points))[-5:] == [
        "builtin, onnx 1",
        "builtin, litert 2",
        "run (11bb)",
        "run (22cc)",
        "alone",
    ]


def test_long_names_keep_both_ends():
    assert shortened("a" * 40) == "a" * 40
    assert shortened("a" * 30 + "b" * 30) == "a" * 20 + "…" + "b" * 19


AREA, RADIUS = Box(68, 34, 840, 416), 8.0


def cloud(count: int, seed: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Points of encoders between 20 kB and 100 MB, in pixels, and a step of the curve between two of them."""
    rng = np.random.default_rng(seed)
    places = [(float(x), float(y)) for x, y in rng.uniform((90, 50), (820, 400), (count, 2))]
    (x0, y0), (x1, y1) = sorted(places)[:2]
    return places, [(x0, y0), (x1, y0), (x1, y1)]


def overlap(one: Box, other: Box) -> bool:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return width > 0 and height > 0


def on_the_way(start: tuple[float, float], end: tuple[float, float], box: Box) -> bool:
    x, y = np.linspace(start, end, 200).T
    return bool(np.any((box.left < x) & (x < box.right) & (box.top < y) & (y < box.bottom)))


@pytest.mark.parametrize("count", [2, 5, 12])
@pytest.mark.parametrize("seed", range(10))
def test_labels_do_not_collide(count, seed):
    places, line = cloud(count, seed)
    names = [f"encoder number {number}" for number in range(count)]
    labels = place_labels(places, names, AREA, RADIUS, line)
    found = [label for label in labels if label]
    assert len(found) >= min(count, 11)
    assert all(label is None or label.text == name for label, name in zip(labels, names, strict=True))
    boxes = [label.box for label in found]
    assert not any(overlap(one, other) for one, other in itertools.combinations(boxes, 2))
    for left, top, right, bottom in boxes:
        assert 68 <= left < right <= 840
        assert 34 <= top < bottom <= 416
        for x, y in places:
            assert np.hypot(x - np.clip(x, left, right), y - np.clip(y, top, bottom)) >= RADIUS
    for box in boxes:
        assert not any(on_the_way(start, end, box) for start, end in itertools.pairwise(line))


@pytest.mark.parametrize("seed", range(10))
def test_leaders_cross_no_name_and_no_other_point(seed):
    # Dense, so that many names stand away from their points.
    places = [tuple(place) for place in np.random.default_rng(seed).uniform((400, 180), (500, 260), (12, 2))]
    labels = place_labels(places, ["encoder"] * 12, AREA, RADIUS, [(0, 0), (0, 0)])
    found = [(place, label) for place, label in zip(places, labels, strict=True) if label]
    assert len([label for _, label in found if label.leader]) >= 3
    for place, label in found:
        others = [other for other in places if np.abs(np.subtract(place, other)).max() >= RADIUS]
        if label.leader:
            assert not any(on_the_way(place, label.leader, other.box) for _, other in found if other != label)
            for x, y in others:
                assert not on_the_way(place, label.leader, Box(x - 4, y - 4, x + 4, y + 4))
        else:
            near = np.hypot(*np.subtract(label.box.nearest(*place), place))
            assert all(near <= np.hypot(*np.subtract(label.box.nearest(*o), o)) for o in others)


def test_twelve_encoders_are_all_named():
    sizes = [20_000, 146_000, 146_900, 152_000, 400_000, 560_000, 2_650_000, 2_700_000, 2_900_000]
    sizes += [21_400_000, 44_900_000, 100_000_000]
    percents = [61, 73.1, 72.9, 73.05, 70, 74.4, 82.6, 82.9, 83.4, 86.1, 82.9, 85.8]
    names = [f"encoder-{number:02d}" for number in range(12)]
    svg = drawn([point(*values) for values in zip(names, sizes, percents, strict=True)], this=1)
    assert sorted(texts(svg)[-12:]) == names


def test_a_label_starts_or_ends_at_its_point():
    right, left = place_labels([(200.0, 200.0), (830.0, 300.0)], ["a", "b"], AREA, RADIUS, [(0, 0), (0, 0)])
    assert (right.anchor, right.x, right.leader) == ("start", 211, None)
    assert (left.anchor, left.x, left.leader) == ("end", 819, None)
    assert right.box == pytest.approx((208, 191, 222.3, 209))


def test_a_name_without_room_is_left_out():
    places = [(50.0, 50.0), (50.0, 50.0)]
    labels = place_labels(places, ["first", "second"], Box(0, 30, 110, 62), RADIUS, [(0, 0), (0, 0)])
    assert labels[0] is not None
    assert labels[1] is None
