"""The README's table of boards, from inputs made by hand: what was measured, and where the rest is said."""

import dataclasses

import pytest
from pages import readme
from pages.readme import Sources, boards_table

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.errors import UsageError
from edgesim.profiles import load_profile
from tests.bench_reports import a_report

RECALL = "0.750 mild, 0.500 hard"
ROWS = [
    (
        "Some CPU (x86-64, avx2)",
        "-",
        "10 kB (ONNX)",
        "4.0 + 0.50 ms",
        "71 MiB",
        RECALL,
        "",
    ),
    (
        "Raspberry Pi 4 Model B",
        "`pi-4b`",
        "10 kB (ONNX)",
        "20.0 + 10.00 ms (12 MP)",
        "94 MiB",
        RECALL,
        "",
    ),
    (
        "Raspberry Pi 5",
        "`pi-5`",
        "21 kB (TFLite)",
        "not measured yet",
        "not measured yet",
        "-",
        "[emulated](docs/arm.md), [estimated](docs/latency-estimates.md)",
    ),
    (
        "Raspberry Pi Zero 2 W with a 32-bit system",
        "`pi-zero-2w-32bit`",
        "21 kB (TFLite)",
        "not measured yet",
        "not measured yet",
        "-",
        "[emulated](docs/arm.md)",
    ),
    (
        "Shop-floor PC without AVX",
        "`shopfloor-x86`",
        "10 kB (ONNX)",
        "not measured yet",
        "not measured yet",
        RECALL,
        "",
    ),
]


@pytest.fixture
def sources(tmp_path):
    bundle = dataclasses.replace(Bundle.load(bundle_folder("copy")), folder=tmp_path)
    for model_format, size in (("onnx", 10_400), ("tflite", 20_600)):
        bundle.model_path(model_format).write_bytes(bytes(size))
    part = {"mild": {"recall_at_1": 0.75}, "lookalikes": {"recall_at_1": 0.5}}
    return Sources(
        bundle=bundle,
        cli={
            "machine": {"cpu": "Some CPU", "features": ["sse4.2", "avx2"]},
            "engine": "onnxruntime",
            "photos": 500,
            "add_seconds": {"decoding": 2.0, "encoder": 0.25},
            "figures": {"query peak MiB": {"value": 70.6}},
        },
        check={"cores": {"cortex-a76": {}}},
        detection={"encoders": {"copy (onnxruntime)": {"parts": part}}},
        references={"pi-4b": a_report(profile="pi-4b")},
    )


def test_only_what_was_measured_is_printed(sources, monkeypatch):
    def estimates(profile, bundle):
        if profile.architecture != "aarch64":
            raise UsageError("nothing was published")
        return []

    monkeypatch.setattr(readme, "bundle_estimates", estimates)
    names = ("pi-4b", "pi-5", "pi-zero-2w-32bit", "shopfloor-x86")
    table = boards_table(sources, [load_profile(name) for name in names])
    assert table.splitlines()[2:] == [f"| {' | '.join(row)} |" for row in ROWS]
