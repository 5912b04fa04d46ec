"""The page of `edgesim bench`: what it says, and that nothing in a report becomes part of its markup."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from edgesim.bench_figures import Energy, Memory
from edgesim.bench_page import bench_page
from edgesim.bench_report import Verdict
from tests.bench_reports import a_load, a_report, a_row, a_timing
from tests.test_bench_charts import HOT, SILENT, with_boards

BUDGETS = (
    Verdict(budget="model size", value=984483, limit=1_000_000, unit="bytes", passed=True, note="model.onnx"),
    Verdict(budget="latency", value=69.52, limit=60, unit="ms", passed=False, note="12-megapixel JPEG"),
    Verdict(budget="peak memory", value=93.5, limit=120, unit="MiB", passed=None, note="not this board"),
)


class Page(HTMLParser):
    """What a browser would make of a page: its rows of cells, its texts and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell &= tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.in_cell:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return "".join(self.texts)


def page(**changes: object) -> Page:
    return Page(bench_page(a_report(**changes)))


def row(found: Page, name: str) -> list[str]:
    return next(cells for cells in found.rows if cells and cells[0].startswith(name))


def test_budgets_have_a_verdict_in_words() -> None:
    found = page(profile="pi-4b", verdicts=BUDGETS)
    assert row(found, "model size") == [
        "model size",
        "within",
        "984,483 bytes",
        "1,000,000 bytes",
        "model.onnx",
    ]
    assert row(found, "latency") == ["latency", "over", "69.52 ms", "60 ms", "12-megapixel JPEG"]
    assert row(found, "peak memory")[1] == "not judged"
    assert "budget 120 MiB" in found.text


def test_stages_of_a_query_and_of_the_start() -> None:
    found = page()
    stage, total = "10.0", ["100", "101", "101", "0.500", "10.0"]
    assert row(found, "12 megapixels") == ["12 megapixels", *[stage] * 4, *total]
    assert row(found, "first embedding") == ["first embedding", *[stage] * 5, "9.90", "10.1"]
    assert "4000x3000 pixels, 4,500 kB" in found.text


def test_engines_are_ordered_by_their_median_and_failures_last() -> None:
    rows = (
        a_row(engine="tflite-runtime", version=None, inference=None, problem="killed by SIGILL"),
        a_row(inference=a_timing(40.0), threads=2, best=False),
        a_row(engine="onnxruntime"),
    )
    found = page(engines=rows)
    names = [cells[0] for cells in found.rows if cells and "int8" in cells[0]]
    assert names == [
        "onnxruntime 2.3.0 int8, 1 thread",
        "litert 2.3.0 int8, 2 threads",
        "tflite-runtime (version not told) int8, 1 thread",
    ]
    assert row(found, "onnxruntime")[1:] == ["30.4", "31.0", "31.0", "0.500", "32.9", "33.9", "20.3", "984"]
    assert row(found, "tflite-runtime")[1] == "failed: killed by SIGILL"
    assert "Best for this machine: onnxruntime 2.3.0 int8, 1 thread, 30.4 ms." in found.text


def test_a_board_that_is_throttled() -> None:
    load = with_boards([HOT] * 2, [200.0, 100.0])
    energy = Energy(source="pmic", watts=5.25, joules_per_inference=0.035)
    found = page(sustained=dataclasses.replace(load, kind="sustained", energy=energy))
    assert row(found, "sustained") == ["sustained", "200.0", "200.0", "100.0", "5.25", "0.035"]
    assert "Shaded: throttled." in found.texts
    assert "temperature, °C" in found.texts
    assert "does not tell" not in found.text


def test_a_board_that_tells_nothing() -> None:
    load = dataclasses.replace(with_boards([SILENT] * 2, [9.0, 9.0]), before=SILENT)
    found = page(burst=load)
    assert "This board does not tell its clock or its temperature." in found.texts
    assert "This board does not tell whether something holds its chip back." in found.texts
    assert row(found, "burst")[-2:] == ["not told", "not told"]
    assert "No sustained load was measured" in found.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"queries": ()}, "No query was measured."),
        ({"engines": ()}, "No engine ran this encoder."),
        ({"burst": None}, "Not measured."),
        ({"index": None}, "No index was searched."),
        ({"governor": None}, "clock governor not told"),
        ({"profile": None}, "No device profile was named, so nothing is judged."),
        (
            {"memory": Memory(peak_mib=1.0, steady_mib=1.0, seconds=(), mib=())},
            "Its memory was not read over time.",
        ),
    ],
)
def test_what_was_not_measured_is_said_to_be_so(changes: dict[str, object], said: str) -> None:
    assert (
        said not in page(profile="pi-4b", sustained=dataclasses.replace(a_load(9.0), kind="sustained")).text
    )
    assert said in page(**changes).text


def test_nothing_in_a_report_becomes_markup() -> None:
    hostile = "<script>alert('&\"')</script>"
    report = a_report()
    found = page(
        bundle=dataclasses.replace(
            report.bundle, name=hostile, files=(dataclasses.replace(report.bundle.files[0], name=hostile),)
        ),
        machine=dataclasses.replace(report.machine, cpu=hostile, os=hostile),
        governor=hostile,
        packages={hostile: hostile},
        profile=hostile,
        engine=hostile,
        engines=(
            a_row(engine=hostile, version=hostile, precision=hostile),
            a_row(inference=None, problem=hostile),
        ),
        burst=dataclasses.replace(a_load(9.0), engine=hostile),
        verdicts=(dataclasses.replace(BUDGETS[1], budget=hostile, unit=hostile, note=hostile),),
    )
    assert "script" not in found.tags
    # Name of the bundle and CPU stand in title and heading, the best engine above the table, a unit twice.
    assert found.text.count(hostile) == 25


def test_the_page_needs_no_other_file() -> None:
    html = bench_page(a_report(profile="pi-4b", verdicts=BUDGETS))
    assert not re.search(r"""(src|href)=|url\(|@import""", html)
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}
