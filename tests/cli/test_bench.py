"""`edgesim bench`: one short run of a built-in encoder, what is printed of it, comparisons, and refusals."""

import contextlib
import io
import json
import re

import numpy as np
import pytest

from edgesim.bench_report import read_bench_report
from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.cli.bench_tables import benchmark_model_lines
from edgesim.cli.main import main
from edgesim.metrics import l2_normalise
from edgesim.runtime.bench import startup
from edgesim.runtime.bench.children import ChildError
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.index import Index
from tests.bench_reports import a_report, a_row, a_timing
from tests.helpers import INSTALLED_ENGINES

TINY_PROFILE = """
title = "Too small for anything"
soc = "none"
core = "none"
cores = 1
clock_mhz = 1
architecture = "x86_64"
features = []
ram_mb = 64
os = ["none"]
python = ["3.11"]
glibc = "2.36"
engines = ["onnxruntime"]
model_bytes_max = 900000
ram_budget_mb = 2
latency_budget_ms = 1
index_entries = 20

[sources]
"""
SOURCED = ("soc", "core", "cores", "clock_mhz", "architecture", "features", "ram_mb", "os", "python", "glibc",
           "engines", "model_bytes_max", "ram_budget_mb", "latency_budget_ms", "index_entries")  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A short run with an index and a profile that nothing can hold: status, stdout, stderr, and its page."""
    folder = tmp_path_factory.mktemp("bench")
    bundle = Bundle.load(bundle_folder("copy"))
    vectors = l2_normalise(np.random.default_rng(0).standard_normal((20, 128)).astype(np.float32))
    with Index.create(folder / "index", bundle) as index:
        index.add(
            [
                NewEntry(path=f"/{i}.jpg", sha256=f"{i:064x}", size=1, mtime_ns=0, labels={}, vector=vector)
                for i, vector in enumerate(vectors)
            ]
        )
    profile = folder / "tiny.toml"
    profile.write_text(TINY_PROFILE + "".join(f'{key} = "tests"\n' for key in SOURCED))
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr(startup, "RUNS", 1)
        arguments = ["--index", str(folder / "index"), "--profile", str(profile), "--threads", "1"]
        arguments += ["--seconds", "0.2", "--sustained", "0.1", "--html", str(folder / "page.html"), "--json"]
        status = main(["bench", "copy", *arguments])
    path = folder / "report.json"
    path.write_text(output.getvalue())
    return status, path, errors.getvalue(), folder / "page.html"


@pytest.fixture(scope="module")
def report(measured):
    return read_bench_report(measured[1])


def test_a_run_has_all_parts(report):
    assert (report.bundle.name, report.profile, report.threads) == ("copy", "tiny", 1)
    assert (report.index.entries, report.index.search) == (20, "exact")
    sizes = {file.name: file.bytes for file in report.bundle.files}
    assert sizes["model.onnx"] == (bundle_folder("copy") / "model.onnx").stat().st_size
    assert [query.megapixels for query in report.queries] == [0.3, 2.0, 12.0]
    assert report.memory.peak_mib > 30
    assert {"numpy", "pillow", "onnxruntime"} <= report.packages.keys()
    for load, kind in ((report.burst, "burst"), (report.sustained, "sustained")):
        assert (load.kind, len(load.windows)) == (kind, 5)


def test_the_stages_of_a_run_add_up(report):
    for query in report.queries:
        stages = (query.decode, query.preprocess, query.inference, query.search)
        assert sum(stage.mean_ms for stage in stages) == pytest.approx(query.total.mean_ms)
    start = report.startup
    parts = (start.process, start.imports, start.load, start.first_inference)
    assert sum(part.mean_ms for part in parts) == pytest.approx(start.total.mean_ms)
    assert min(part.min_ms for part in parts) > 0


def test_every_installed_engine_has_a_row_and_one_is_the_best(report):
    assert [(row.engine, row.precision, row.threads) for row in report.engines] == [
        (engine, "int8", 1) for engine in INSTALLED_ENGINES
    ]
    (best,) = [row for row in report.engines if row.best]
    assert best.inference.p50_ms == min(row.inference.p50_ms for row in report.engines)
    assert report.burst.engine == best.engine


def test_what_exceeds_a_budget_fails_with_a_status_of_its_own(measured, report):
    status, _, errors, _ = measured
    assert status == 7
    verdicts = {verdict.budget: verdict.passed for verdict in report.verdicts}
    assert (verdicts["model size"], verdicts["peak memory"]) == (False, False)
    assert verdicts["latency"] is None  # this machine is not that device
    assert re.fullmatch(
        r"edgesim: over the budget of tiny: model size [\d,]+ bytes of 900,000 bytes, "
        r"peak memory [\d.]+ MiB of 2 MiB; choose a smaller index or encoder\n",
        errors,
    )


def test_the_page_is_written(measured):
    assert measured[3].read_text().startswith("<!doctype html>")


@pytest.fixture
def two_reports(tmp_path):
    slow, fast = a_report(), a_report(engines=(a_row(inference=a_timing(3.0, 3.1, 3.0, 3.05, 3.0)),))
    paths = (tmp_path / "a.json", tmp_path / "b.json")
    for path, written in zip(paths, (slow, fast), strict=True):
        path.write_text(written.to_json())
    return paths


def test_two_reports_are_compared(two_reports, capsys):
    assert main(["bench", "--compare", *map(str, two_reports)]) == 0
    output, errors = capsys.readouterr()
    lines = [re.split(r"\s{2,}", line) for line in output.splitlines()]
    assert lines[0] == ["figure", "unit", "before", "after", "ratio", "95 %", "verdict"]
    (row,) = [line for line in lines if line[0] == "litert, int8, threads 1"]
    assert (row[1:5], row[6]) == (["ms", "30.4", "3", "0.099"], "faster")
    assert lines[10][:5] == ["12 megapixels: total", "ms", "100", "100", "1.000"]
    assert errors == ""


def test_a_comparison_as_json_warns_on_stderr(tmp_path, two_reports, capsys):
    other = tmp_path / "c.json"
    other.write_text(a_report(governor="performance").to_json())
    assert main(["bench", "--compare", str(two_reports[0]), str(other), "--json"]) == 0
    output, errors = capsys.readouterr()
    comparison = json.loads(output)
    assert comparison["warnings"] == ["not the same clock governor: ondemand, then performance"]
    assert errors == "edgesim: not the same clock governor: ondemand, then performance\n"
    assert {change["verdict"] for change in comparison["changes"]} == {
        "within noise",
        "measured once",
        "same",
    }


def test_the_lines_of_benchmark_model():
    timing = a_timing(266.601, 266.931, 265.837, 268.116)
    row = a_row(inference=timing, load_ms=20.283, first_ms=339.304, warmup_ms=302.814)
    first, second = benchmark_model_lines(row).splitlines()
    assert first == (
        "Timings (microseconds): count=4 first=266601 curr=268116 min=265837 max=268116 avg=266871 std=500"
    )
    assert second == (
        "Inference timings in us: Init: 20283, First inference: 339304, Warmup (avg): 302814, "
        "Inference (avg): 266871"
    )


def test_a_report_is_printed_with_what_it_does_not_tell(capsys, monkeypatch):
    failed = a_row(
        engine="tflite-runtime", version=None, inference=None, best=False, problem="killed by SIGILL"
    )
    monkeypatch.setattr(
        "edgesim.runtime.bench.benchmark.run_benchmark",
        lambda request, progress: a_report(engines=(a_row(), failed), index=None),
    )
    assert main(["bench", "copy"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^tflite-runtime +int8 +1 +984,483 +(- +){6}killed by SIGILL$", output, re.MULTILINE)
    assert re.search(r"^litert 2.3.0 .* best here$", output, re.MULTILINE)
    assert re.search(r"^index +none$", output, re.MULTILINE)
    assert (
        "clock 1800 to 1800 MHz (1800 to 1800); temperature 50 to 50 °C (50 to 50); held back: no" in output
    )
    assert "Inference timings in us: Init: 20283," in output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "expected either a BUNDLE to measure, or --compare A.json B.json"),
        (["copy", "--compare", "a", "b"], 2, "expected either a BUNDLE to measure, or --compare"),
        (["copy", "--threads", "0"], 2, "threads: expected numbers from 1 to 64 such as 1,2,4, got '0'"),
        (
            ["copy", "--threads", "1,65"],
            2,
            "threads: expected numbers from 1 to 64 such as 1,2,4, got '1,65'",
        ),
        (
            ["copy", "--threads", "2,-1"],
            2,
            "threads: expected numbers from 1 to 64 such as 1,2,4, got '2,-1'",
        ),
        (["copy", "--threads", "two"], 2, "--threads: expected numbers such as 1,2,4, got 'two'"),
        (["copy", "--seconds", "0"], 2, "seconds: expected more than 0 and at most 86400, got 0"),
        (["copy", "--seconds", "1e9"], 2, "seconds: expected more than 0 and at most 86400, got 1e+09"),
        (["copy", "--seconds", "nan"], 2, "seconds: expected more than 0 and at most 86400, got nan"),
        (["copy", "--sustained", "-1"], 2, "sustained: expected at most 86400, or 0 for none, got -1"),
        (["copy", "--profile", "pi-4"], 2, "unknown profile 'pi-4'; did you mean 'pi-4b'?"),
        (["copy", "--engine", "onnx"], 2, "unknown engine 'onnx'; known: litert, onnxruntime, "),
        (["copy", "--fp32", "similar"], 2, "--fp32 similar: expected the encoder copy ("),
        (["copy", "--index", "none"], 5, "none: "),
        (["copy", "--html", "none/page.html"], 2, "--html: none is no folder; make it first"),
        (["nothing"], 4, "nothing: no such folder, and not one of copy, similar"),
        (["--compare", "none.json", "none.json"], 3, "none.json: cannot be read"),
        *(
            (
                ["--compare", "a.json", "b.json", option, value],
                2,
                f"{option}: does not go with --compare, which measures nothing; leave it out",
            )
            for option, value in (
                ("--index", "parts"),
                ("--profile", "pi-4b"),
                ("--fp32", "copy"),
                ("--engine", "litert"),
                ("--threads", "1"),
                ("--seconds", "10"),
                ("--sustained", "0"),
                ("--html", "page.html"),
            )
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, monkeypatch, capsys, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == status
    output, errors = capsys.readouterr()
    assert (output, errors.startswith("edgesim: "), errors.count("\n")) == ("", True, 1)
    assert message in errors


def test_an_engine_that_dies_is_named_with_the_cure(monkeypatch, capsys):
    def die(bundle, engine, threads):
        raise ChildError("killed by SIGILL: built for another CPU")

    monkeypatch.setattr("edgesim.runtime.bench.benchmark.measure_startup", die)
    assert main(["bench", "copy"]) == 6
    assert capsys.readouterr().err == (
        "edgesim: onnxruntime does not work here (killed by SIGILL: built for another CPU); "
        "see edgesim doctor, or pass another --engine\n"
    )
