"""Reports of `edgesim bench` as files: there and back, and what is refused."""

import dataclasses
import json

import pytest

from edgesim.bench_figures import Energy
from edgesim.bench_report import Verdict, read_bench_report
from edgesim.errors import InputError
from tests.bench_reports import a_load, a_report, a_row, a_timing

LOAD = dataclasses.replace(a_load(1.0), energy=Energy(source="pmic", watts=5.0, joules_per_inference=5.0))
UNKNOWN = Verdict(budget="latency", value=1.5, limit=150, unit="ms", passed=None, note="elsewhere")
FAILED = a_row(version=None, load_ms=None, first_ms=None, warmup_ms=None, inference=None, problem="killed")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"index": None, "governor": None, "burst": None, "engines": (a_row(), FAILED)},
        {"sustained": LOAD},
        {"verdicts": (UNKNOWN,)},
    ],
)
def test_a_report_is_read_as_it_was_written(tmp_path, changes):
    report = a_report(**changes)
    path = tmp_path / "report.json"
    path.write_text(report.to_json())
    assert read_bench_report(path) == report


def test_whole_numbers_of_other_writers_are_read(tmp_path):
    values = json.loads(a_report().to_json())
    values["seconds"] = 10
    values["startup"]["total"]["windows_ms"] = [10, 11]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(values))
    report = read_bench_report(path)
    assert report.startup.total.windows_ms == (10.0, 11.0)
    assert (type(report.seconds), type(report.startup.total.windows_ms[0])) == (float, float)


def without(values: dict, *keys: str) -> dict:
    inner = values
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return values


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda v: [v], "not a report of edgesim bench; make one with: edgesim bench BUNDLE --json"),
        (lambda v: {**v, "format": "edgesim study"}, "not a report of edgesim bench"),
        (lambda v: {**v, "format_version": 2}, "a report of format version 2, this edgesim reads 1"),
        (lambda v: without(v, "memory"), "lacks the key 'memory' (make it again with: edgesim bench BUNDLE"),
        (lambda v: without(v, "startup", "total", "p50_ms"), "startup: total: lacks the key 'p50_ms'"),
        (lambda v: {**v, "governer": None}, "unknown key 'governer'; did you mean 'governor'?"),
        (lambda v: {**v, "seconds": "ten"}, "seconds: expected a number, got 'ten'"),
        (lambda v: {**v, "memory": None}, "memory: expected a table, got None"),
        (lambda v: {**v, "burst": {**v["burst"], "windows": []}}, "burst: expected windows, with"),
        (lambda v: {**v, "memory": {**v["memory"], "mib": []}}, "memory: expected memory above 0"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, damage, message):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(damage(json.loads(a_report().to_json()))))
    with pytest.raises(InputError) as refused:
        read_bench_report(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("half of a {", "not the JSON of edgesim bench --json"),
        ('{"format": NaN}', "NaN is no figure"),
        ("[" * 100_000, "not the JSON of edgesim bench --json"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, content, message):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_bench_report(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: cannot be read \(No such file or directory\)"):
        read_bench_report(tmp_path / "none.json")


def test_times_of_zero_are_refused():
    with pytest.raises(ValueError, match="windows_ms to hold times above 0"):
        dataclasses.replace(a_timing(1.0), windows_ms=(1.0, 0.0))
