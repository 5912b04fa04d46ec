"""The charts of `edgesim bench`, read back from their SVG."""

import dataclasses
import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from edgesim.bench_charts import Stages, latency_histogram, query_stages, stage_chart
from edgesim.bench_figures import BoardState, Memory, Timing
from edgesim.bench_time_charts import load_chart, memory_chart
from edgesim.svg import round_axis
from tests.bench_reports import COOL, a_load, a_report, a_timing

SVG = "{http://www.w3.org/2000/svg}"
HOT = BoardState(clock_mhz=1000.0, temperature_c=84.0, flags=("throttled",), flags_since_boot=("throttled",))
SILENT = BoardState(clock_mhz=None, temperature_c=None, flags=None, flags_since_boot=None)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def rects(svg: str, **attributes: str) -> list[ET.Element]:
    found = ET.fromstring(svg).iter(f"{SVG}rect")
    return [rect for rect in found if all(rect.get(key) == value for key, value in attributes.items())]


def lines(svg: str, colour: str) -> list[list[tuple[float, float]]]:
    """Return the corners of the lines of a colour."""
    return [
        [tuple(map(float, corner.split())) for corner in course.split("L")]
        for course in re.findall(rf'd="M([^"]+)" stroke="{colour}"', svg)
    ]


def timing_of(samples: np.ndarray) -> Timing:
    p50, p90, p99 = np.percentile(samples, (50, 90, 99)).tolist()
    return dataclasses.replace(
        a_timing(1.0),
        count=len(samples),
        min_ms=float(samples.min()),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        max_ms=float(samples.max()),
        samples_ms=tuple(samples.tolist()),
    )


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 70.9, (0, 20, 40, 60, 80)),
        (0.0, 0.035, (0, 0.01, 0.02, 0.03, 0.04)),
        (51.0, 84.0, (50, 60, 70, 80, 90)),
        (0.0, 1000.0, (0, 200, 400, 600, 800, 1000)),
        (3.0, 3.0, (3, 4)),
        (0.0, 0.0, (0, 0.2)),
    ],
)
def test_an_axis_begins_and_ends_at_ticks(low: float, high: float, ticks: tuple[float, ...]) -> None:
    axis = round_axis(low, high, 100, 200)
    assert axis.ticks == pytest.approx(ticks)
    assert (axis.place(ticks[0]), axis.place(ticks[-1])) == pytest.approx((100, 200))


def test_a_stage_is_as_wide_as_its_median() -> None:
    medians = {"small": (3.0, 2.0, 14.0, 1.0), "large": (53.0, 2.0, 14.5, 1.5)}
    names = ("decode", "preprocess", "inference", "search")
    bars = [
        Stages(label=label, medians=tuple(zip(names, row, strict=True)), total=a_timing(sum(row) + 0.25))
        for label, row in medians.items()
    ]
    svg = stage_chart("x", "Title", bars)
    drawn = [rect for rect in rects(svg) if rect.get("class") != "key"]
    # The longest bar is 71 ms, so the axis ends at 80; it is 408 pixels long.
    expected = [408 * median / 80 for row in medians.values() for median in row]
    assert [float(rect.get("width")) for rect in drawn] == pytest.approx(expected, abs=0.011)
    for row in (drawn[:4], drawn[4:]):
        assert float(row[0].get("x")) == 8
        for left, right in itertools.pairwise(row):
            end = float(left.get("x")) + float(left.get("width"))
            assert float(right.get("x")) == pytest.approx(end, abs=0.011)
    assert [label for label in texts(svg) if label.endswith(" ms")] == ["small: 20.2 ms", "large: 71.2 ms"]
    assert "53.0" in texts(svg)
    assert "3.00" not in texts(svg), "wider than its part of the bar"


def test_without_an_index_a_query_has_no_search() -> None:
    query = a_report().queries[0]
    assert [stage for stage, _ in query_stages(query).medians][-1] == "search"
    bar = query_stages(dataclasses.replace(query, search=None))
    assert [stage for stage, _ in bar.medians] == ["decode", "preprocess", "inference"]
    assert "search" not in texts(stage_chart("x", "Title", [bar]))


def test_columns_are_numpys_counts() -> None:
    samples = np.round(np.random.default_rng(0).gamma(3, 0.8, 400) + 20, 4)
    svg = latency_histogram("x", "Title", timing_of(samples))
    ticks = sorted(float(text) for text in texts(svg) if re.fullmatch(r"2\d|3\d", text))
    low, high = ticks[0], ticks[-1]
    counts, edges = np.histogram(samples, 48, (low, high))
    columns = rects(svg, fill="#0072b2")
    filled = np.flatnonzero(counts)
    assert len(columns) == len(filled)
    per_count = float(columns[0].get("height")) / counts[filled[0]]
    per_ms = (420 - 44) / (high - low)
    for column, number in zip(columns, filled, strict=True):
        assert float(column.get("height")) == pytest.approx(counts[number] * per_count, abs=0.02)
        assert float(column.get("x")) == pytest.approx(44 + (edges[number] - low) * per_ms + 0.5, abs=0.011)
        assert (column[0].text or "").endswith(f" ms: {counts[number]}")
    assert counts.sum() + (samples > high).sum() == 400
    percentiles = [float(px) for px in re.findall(r'd="M([\d.]+) 40V200"', svg)]
    expected = 44 + (np.percentile(samples, (50, 90, 99)) - low) * per_ms
    assert percentiles == pytest.approx(expected.tolist(), abs=0.051)


def test_a_stall_does_not_press_all_others_into_one_column() -> None:
    samples = np.append(np.linspace(10, 11, 299), 900.0)
    svg = latency_histogram("x", "Title", timing_of(samples))
    assert len(rects(svg, fill="#0072b2")) > 20
    assert "1 of 300 not shown took longer, up to 900 ms" in texts(svg)


def test_equal_samples_make_one_column() -> None:
    svg = latency_histogram("x", "Title", timing_of(np.full(5, 7.0)))
    (column,) = rects(svg, fill="#0072b2")
    assert (column[0].text or "").endswith(": 5")


def test_memory_is_drawn_over_time_beside_its_budget() -> None:
    memory = Memory(peak_mib=90.0, steady_mib=60.0, seconds=(0.0, 1.0, 4.0), mib=(20.0, 80.0, 60.0))
    svg = memory_chart(memory, 100.0)
    # 4 seconds are 376 pixels, 100 MiB are 180.
    assert lines(svg, "#0072b2") == [[(50.0, 160.0), (144.0, 52.0), (426.0, 88.0)]]
    assert lines(svg, "#d55e00") == [[(50.0, 16.0), (426.0, 16.0)]]
    assert "budget 100 MiB" in texts(svg)
    assert not lines(memory_chart(memory, None), "#d55e00")


def with_boards(boards: list[BoardState], speeds: list[float]):
    load = a_load(*speeds)
    windows = [
        dataclasses.replace(window, board=board) for window, board in zip(load.windows, boards, strict=True)
    ]
    return dataclasses.replace(load, windows=tuple(windows))


def test_speed_clock_and_temperature_of_a_board_that_is_throttled() -> None:
    svg = load_chart(with_boards([COOL, COOL, HOT, HOT], [200.0, 200.0, 100.0, 100.0]))
    speed, clock, temperature = lines(svg, "#0072b2")
    # Four windows of 2 s are 376 pixels; a speed lies in the middle of its window, a state at its end.
    assert [px for px, _ in speed] == [97.0, 191.0, 285.0, 379.0]
    assert [px for px, _ in clock] == [px for px, _ in temperature] == [50.0, 144.0, 238.0, 332.0, 426.0]
    assert [py for _, py in speed] == [34.0, 34.0, 86.0, 86.0]
    # 1,800 and 1,000 of 2,000 MHz; 50 and 84 of 50 to 90 degrees.
    assert [py for _, py in clock] == pytest.approx([190.4, 190.4, 190.4, 232.0, 232.0])
    assert [py for _, py in temperature] == pytest.approx([430.0, 430.0, 430.0, 341.6, 341.6])
    assert [(rect.get("x"), rect.get("width")) for rect in rects(svg, fill="#f7e0d0")] == [
        ("238.0", "188.0")
    ] * 3


def test_what_a_board_does_not_tell_has_no_curve() -> None:
    load = dataclasses.replace(with_boards([SILENT] * 3, [9.0, 8.0, 9.0]), before=SILENT)
    svg = load_chart(load)
    assert len(lines(svg, "#0072b2")) == 1
    assert not [text for text in texts(svg) if "clock" in text or "temperature" in text]


def test_a_curve_is_interrupted_where_nothing_is_told() -> None:
    load = with_boards([COOL, SILENT, COOL, COOL], [9.0] * 4)
    svg = load_chart(dataclasses.replace(load, before=SILENT))
    clock = lines(svg, "#0072b2")[1]
    assert [px for px, _ in clock] == [332.0, 426.0]
    (first, *_) = ET.fromstring(svg).iter(f"{SVG}circle")
    assert first.get("cx") == "144.0"


def test_long_loads_are_told_in_minutes() -> None:
    load = a_load(9.0, 9.0, 9.0)
    windows = [
        dataclasses.replace(window, start_s=100.0 * number, seconds=100.0)
        for number, window in enumerate(load.windows)
    ]
    svg = load_chart(dataclasses.replace(load, windows=tuple(windows)))
    assert texts(svg)[-1] == "minutes"
    assert {"0", "1", "2", "3", "4", "5"} <= set(texts(svg))
