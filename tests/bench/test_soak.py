"""The soak run: its oracle knows wrong answers, and it fails by them and by memory that grows."""

import itertools
import re
import xml.etree.ElementTree as ET

import bench_soak
import numpy as np
import pytest
from bench_soak import Soak, failures, growths
from charts.soak import soak_chart
from pages.soak import growth_table, soak_line
from PIL import Image
from soak.oracle import Oracle

# Similarities to "a": 1, 0.8, 0.6, 0, 0.6.
VECTORS = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1], [0.6, 0.8]], dtype=np.float32)


@pytest.fixture
def oracle():
    oracle = Oracle(["a", "b", "c", "d", "e"], VECTORS)
    oracle.set_present(["a", "b", "c", "d", "e"], True)
    oracle.set_present(["b", "e"], False)
    return oracle


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ([("a", 1.0), ("c", 0.6)], True),
        ([("a", 1.0), ("b", 0.8)], False),  # removed
        ([("a", 1.0), ("e", 0.6)], False),  # removed, and as near as one that is there
        ([("a", 1.0), ("d", 0.0)], False),  # not the nearest
        ([("a", 1.0), ("d", 0.6)], False),  # not its own similarity
        ([("a", 1.0), ("a", 0.6)], False),  # twice
        ([("a", 1.0), ("z", 0.6)], False),  # never added
        ([("c", 0.6), ("a", 1.0)], False),  # in the wrong order
        ([("a", 1.0)], False),  # too few
        ([("a", 1.0), ("c", 0.601)], False),
    ],
)
def test_the_oracle_tells_right_from_wrong(oracle, answer, right):
    assert oracle.count() == 3
    assert oracle.is_right("a", answer, 2) is right


@pytest.fixture
def soak(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_soak, "STAYING", 40)
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((120, 90)).save(tmp_path / "photos" / f"{number}.jpg")
    soak = Soak(tmp_path / "index", sorted((tmp_path / "photos").iterdir()))
    yield soak
    soak.matcher.close()


def test_rounds_through_both_interfaces_are_counted_and_right(soak):
    soak.round()
    soak.command_line_round()
    soak.round()
    assert soak.counts == {"remove": 2, "add": 2, "query": 8, "edgesim query": 1}
    assert len(soak.matcher.index) == 40 + 6
    assert soak.wrong == []
    sample = soak.window()
    assert sample.keys() == {
        *("memory MiB", "index MiB", "round CPU ms"),
        *("remove ms", "add ms", "query ms", "edgesim query ms"),
    }
    assert all(value > 0 for value in sample.values())


def test_an_entry_that_comes_back_is_a_wrong_answer(soak, monkeypatch):
    monkeypatch.setattr(type(soak.matcher.index), "remove", lambda index, paths: 0)
    soak.round()
    assert any(line.endswith("expected 46") for line in soak.wrong)


@pytest.mark.parametrize(("mib_a_window", "failed"), [(0.0, 0), (0.05, 0), (0.2, 1)])
def test_memory_may_grow_by_four_mib_over_the_run(mib_a_window, failed):
    # The first ten windows fill the caches, whatever they take.
    samples = [
        {"seconds": float(n), "query ms": 5.0, "memory MiB": 90 + mib_a_window * n + (40 - 4 * n) * (n < 10)}
        for n in range(1, 61)
    ]
    found = growths(samples)
    assert found["memory MiB"]["slope"] == pytest.approx(3600 * mib_a_window, abs=1e-6)
    assert found["memory MiB"]["bound"] == pytest.approx(4 * 3600 / 49)
    assert len(failures({"wrong": [], "growth": found})) == failed
    assert failures({"wrong": ["x: []"], "growth": found})[0] == "wrong: x: []"


def test_table_and_picture_show_the_fitted_lines():
    samples = [
        {
            "seconds": 60.0 * n,
            **dict.fromkeys(("query ms", "add ms", "remove ms", "round CPU ms"), 5.0),
            "memory MiB": 80 + n / 60,
        }
        for n in range(1, 61)
    ]
    found = growths(samples)
    result = {"samples": samples, "growth": found, "operations": {"add": 1200}, "wrong": []}
    assert soak_line(result) == "60 minutes: 1,200 x add; 0 wrong answers"
    # An hour's growth by 1 MiB, after ten minutes.
    assert growth_table(result).splitlines()[3] == ("| memory MiB | 80.18 | +1.00 ± 0.00 | 4.90 | within |")
    chart = ET.fromstring(soak_chart(result))
    lines = [
        [tuple(map(float, point)) for point in re.findall(r"([\d.]+) ([\d.]+)", element.get("d", ""))]
        for element in chart.iter("{http://www.w3.org/2000/svg}path")
    ]
    (curve,) = [line for line in lines if len(line) == 60 and line[0][1] != line[-1][1]]
    # The fitted line lies on the curve, from the eleventh sample to the last.
    assert [curve[10], curve[-1]] in lines
    assert all(right[0] > left[0] and right[1] <= left[1] for left, right in itertools.pairwise(curve))
