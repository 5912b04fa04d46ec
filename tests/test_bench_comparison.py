"""Two reports of `edgesim bench` side by side."""

import dataclasses
import math
import statistics

import pytest

from edgesim.bench_comparison import compare, held_back, ratio_interval
from edgesim.bench_figures import BoardState
from edgesim.bench_report import FileSize, IndexFacts
from tests.bench_reports import COOL, a_load, a_report, a_row, a_timing

STEADY = (100.0, 101.0, 100.5, 99.5, 99.0)


def change_of(name, before, after):
    return next(change for change in compare(before, after).changes if change.name == name)


def with_total(*windows):
    (query,) = a_report().queries
    return a_report(queries=(dataclasses.replace(query, total=a_timing(*windows)),))


def test_the_interval_is_that_of_welch_by_hand():
    before, after = (1.0, math.e), (math.e, math.e)
    # Variance of the logarithms 0 and 1: 1/2. Of two windows each: an error of sqrt(1/4 + 0) = 1/2.
    ratio = math.e / ((1 + math.e) / 2)
    low, high = ratio_interval(before, after)
    assert (low, high) == pytest.approx((ratio * math.exp(-2.776 / 2), ratio * math.exp(2.776 / 2)))


def test_a_slower_query():
    change = change_of("12 megapixels: total", with_total(*STEADY), with_total(*(1.5 * x for x in STEADY)))
    assert (change.unit, change.before, change.after) == ("ms", 100.0, 150.0)
    assert change.ratio == pytest.approx(1.5)
    low, high = change.interval
    assert 1.45 < low < 1.5 < high < 1.55
    assert change.verdict == "slower"


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (STEADY, "within noise"),
        # Of windows that are still, less than two runs differ by.
        ((109.0, 110.0, 109.5, 108.5, 108.0), "within noise"),
        ((112.0, 113.0, 112.5, 111.5, 111.0), "slower"),
        # As far off, but the windows differ by more.
        ((70.0, 180.0, 110.0, 150.0, 80.0), "within noise"),
        ((50.0, 51.0, 50.5, 49.5, 49.0), "faster"),
    ],
)
def test_what_is_noise_and_what_is_not(after, verdict):
    assert change_of("12 megapixels: total", with_total(*STEADY), with_total(*after)).verdict == verdict


def test_of_a_throughput_more_is_faster():
    before, after = a_report(burst=a_load(10.0, 10.1, 9.9)), a_report(burst=a_load(20.0, 20.2, 19.8))
    change = change_of("burst load", before, after)
    assert (change.unit, change.ratio, change.verdict) == ("1/s", pytest.approx(2.0), "faster")
    assert change_of("burst load", after, before).verdict == "slower"


def test_engines_are_compared_by_engine_model_and_threads():
    slow, fast = a_row(inference=a_timing(*STEADY)), a_row(inference=a_timing(*(x / 4 for x in STEADY)))
    before = a_report(engines=(slow, dataclasses.replace(fast, threads=4)))
    after = a_report(engines=(fast, dataclasses.replace(fast, precision="float32")))
    comparison = compare(before, after)
    rows = {change.name: change for change in comparison.changes if change.name.startswith("litert")}
    assert {name: change.verdict for name, change in rows.items()} == {"litert, int8, threads 1": "faster"}
    assert comparison.only_before == ("litert, int8, threads 4",)
    assert comparison.only_after == ("litert, float32, threads 1",)


def test_an_engine_that_failed_has_no_figure():
    failed = a_row(
        version=None, load_ms=None, first_ms=None, warmup_ms=None, inference=None, problem="killed"
    )
    assert compare(a_report(), a_report(engines=(failed,))).only_before == ("litert, int8, threads 1",)


def test_sizes_have_no_noise_and_memory_has_no_interval():
    after = a_report(
        bundle=dataclasses.replace(
            a_report().bundle,
            files=(FileSize(name="model.onnx", bytes=961631), FileSize(name="model.tflite", bytes=984483)),
        ),
        memory=dataclasses.replace(a_report().memory, peak_mib=187.0),
    )
    assert change_of("file: model.onnx", a_report(), after).verdict == "larger"
    assert change_of("file: model.onnx", after, a_report()).verdict == "smaller"
    assert change_of("file: model.tflite", a_report(), after).verdict == "same"
    peak = change_of("memory: peak", a_report(), after)
    assert (peak.ratio, peak.interval, peak.verdict) == (2.0, None, "measured once")


def test_what_differs_is_warned_of():
    report = a_report()
    throttled = dataclasses.replace(COOL, flags=("throttled",))
    other = a_report(
        machine=dataclasses.replace(report.machine, cores=2, features=()),
        governor=None,
        seconds=1.0,
        index=IndexFacts(entries=5, search="exact"),
        burst=a_load(10.0, 10.0, board=throttled),
    )
    assert compare(report, report).warnings == ()
    assert compare(report, other).warnings == (
        "not the same machine: features neon, then none",
        "not the same machine: cores 4, then 2",
        "not the same clock governor: ondemand, then none",
        "not the same index: entries 100000 search hnsw, then entries 5 search exact",
        "not the same seconds for each figure: 10.0, then 1.0",
        "the second board was held back while it was measured: throttled",
    )


def test_what_held_a_board_back_is_told_once():
    hot = BoardState(
        clock_mhz=1.0, temperature_c=85.0, flags=("throttled", "clock capped"), flags_since_boot=()
    )
    silent = BoardState(clock_mhz=None, temperature_c=None, flags=None, flags_since_boot=None)
    assert held_back(a_report(burst=a_load(1.0, 1.0, board=hot), sustained=a_load(1.0, board=hot))) == (
        "throttled",
        "clock capped",
    )
    assert held_back(a_report(burst=a_load(1.0, board=silent))) == ()
    assert a_load(1.0, board=silent).held_back is None
    assert dataclasses.replace(a_load(1.0), before=hot).held_back == ()


def test_the_value_compared_is_the_median_of_the_windows():
    before = with_total(5.0, 1.0, 100.0)
    assert change_of("12 megapixels: total", before, before).before == statistics.median((5.0, 1.0, 100.0))
