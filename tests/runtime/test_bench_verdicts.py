"""Budgets of a device profile: passed, exceeded, and not measured here."""

import dataclasses

import pytest

from edgesim.bench_report import FileSize, IndexFacts
from edgesim.machine import other_machine
from edgesim.profiles import load_profile
from edgesim.runtime.bench.verdicts import judge_budgets
from tests.bench_reports import a_report, a_timing

PROFILE = dataclasses.replace(
    load_profile("pi-4b"),
    model_bytes_max=984_483,
    ram_budget_mb=94,
    latency_budget_ms=101,
    index_entries=100_000,
)


def verdicts(report, profile=PROFILE):
    return {verdict.budget: verdict for verdict in judge_budgets(profile, report)}


def results(report, profile=PROFILE):
    return [verdict.passed for verdict in judge_budgets(profile, report)]


def test_what_keeps_within_all_budgets_passes():
    found = verdicts(a_report())
    assert [verdict.passed for verdict in found.values()] == [True, True, True]
    assert (found["model size"].value, found["model size"].note) == (984_483, "model.tflite")
    assert (found["peak memory"].value, found["peak memory"].limit) == (93.5, 94)
    assert (found["latency"].value, found["latency"].unit) == (100.0, "ms")
    assert found["latency"].note == ("median, 12-megapixel JPEG, onnxruntime, 100,000 entries, hnsw search")


@pytest.mark.parametrize(
    ("tighter", "expected"),
    [
        ({"model_bytes_max": 984_482}, [False, True, True]),
        ({"ram_budget_mb": 93}, [True, False, True]),
        ({"latency_budget_ms": 99}, [True, True, False]),
    ],
)
def test_each_budget_can_be_exceeded(tighter, expected):
    assert results(a_report(), dataclasses.replace(PROFILE, **tighter)) == expected


@pytest.mark.parametrize("index", [None, IndexFacts(entries=99_999, search="exact")])
def test_a_smaller_index_cannot_pass_but_can_fail(index):
    report = a_report(index=index)
    found = verdicts(report)
    assert [verdict.passed for verdict in found.values()] == [True, None, None]
    assert "the budget is for 100,000 entries, pass such an --index" in found["peak memory"].note
    tight = dataclasses.replace(PROFILE, ram_budget_mb=93, latency_budget_ms=99)
    assert results(report, tight) == [True, False, False]


def test_another_machine_says_nothing_about_the_latency_of_the_device():
    machine = dataclasses.replace(a_report().machine, architecture="x86_64")
    found = verdicts(a_report(machine=machine), dataclasses.replace(PROFILE, latency_budget_ms=1))
    assert found["latency"].passed is None
    assert found["latency"].note == other_machine(machine, PROFILE)


def test_the_largest_photo_and_the_largest_model_file_count():
    (query,) = a_report().queries
    small = dataclasses.replace(query, megapixels=0.3, total=a_timing(1.0))
    files = (*a_report().bundle.files, FileSize(name="golden.npz", bytes=10**9))
    report = a_report(queries=(small, query), bundle=dataclasses.replace(a_report().bundle, files=files))
    assert results(report) == [True, True, True]
    assert verdicts(report)["latency"].value == 100.0
