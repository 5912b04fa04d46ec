"""Do the figures keep within the budgets of a device profile?"""

from __future__ import annotations

from edgesim.bench_report import BenchReport, Verdict
from edgesim.machine import other_machine
from edgesim.profiles import DeviceProfile

_MODEL_SUFFIXES = (".onnx", ".tflite")


def judge_budgets(profile: DeviceProfile, report: BenchReport) -> tuple[Verdict, ...]:
    """Return the verdict on each budget.

    Memory and latency are meant for an index of `profile.index_entries`, latency for such a device too. With
    a smaller index what exceeds them has failed, and what keeps within them was not measured.
    """
    largest = max((f for f in report.bundle.files if f.name.endswith(_MODEL_SUFFIXES)), key=lambda f: f.bytes)
    entries, index = 0, "no index"
    if report.index is not None:
        entries = report.index.entries
        index = f"{entries:,} entries, {report.index.search} search"
    missing = None
    if entries < profile.index_entries:
        missing = f"{index}; the budget is for {profile.index_entries:,} entries, pass such an --index"
    return (
        _verdict("model size", largest.bytes, profile.model_bytes_max, "bytes", largest.name),
        _verdict("peak memory", report.memory.peak_mib, profile.ram_budget_mb, "MiB", index, missing),
        _latency(profile, report, index, missing),
    )


def _latency(profile: DeviceProfile, report: BenchReport, index: str, missing: str | None) -> Verdict:
    query, limit = report.queries[-1], profile.latency_budget_ms
    elsewhere = other_machine(report.machine, profile)
    if elsewhere is not None:  # neither that it is within nor that it is over says anything about the device
        return Verdict(
            budget="latency",
            value=query.total.p50_ms,
            limit=limit,
            unit="ms",
            passed=None,
            note=elsewhere,
        )
    note = f"median, {query.megapixels:g}-megapixel JPEG, {report.engine}, {index}"
    return _verdict("latency", query.total.p50_ms, limit, "ms", note, missing)


def _verdict(
    budget: str, value: float, limit: float, unit: str, note: str, missing: str | None = None
) -> Verdict:
    """Return a verdict; with `missing`, what the measurement lacks, only an excess counts."""
    within = value <= limit
    lacking = missing if within else None
    return Verdict(
        budget=budget,
        value=value,
        limit=limit,
        unit=unit,
        passed=None if lacking else within,
        note=lacking or note,
    )
