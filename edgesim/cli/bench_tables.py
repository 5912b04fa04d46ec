"""Reports of `edgesim bench`, and comparisons of two, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgesim.cli.gates import RESULTS
from edgesim.cli.tables import format_table

if TYPE_CHECKING:
    from edgesim.bench_comparison import Change, Comparison
    from edgesim.bench_figures import EngineRow, Load, Timing
    from edgesim.bench_report import BenchReport

_TIMING_COLUMNS = ("times", "p50", "p90", "p99", "sd", "per second")


def report_text(report: BenchReport) -> str:
    """Return the tables of a report, and the lines that TFLite's benchmark_model would print."""
    best = next((row for row in report.engines if row.best), None)
    parts = [
        _facts(report),
        _startup(report),
        _queries(report),
        _engines(report),
        f"memory: peak {report.memory.peak_mib:.1f} MiB, steady {report.memory.steady_mib:.1f} MiB",
        *map(_load, report.loads),
        *([_verdicts(report)] if report.verdicts else []),
        *([benchmark_model_lines(best)] if best is not None else []),
    ]
    return "\n\n".join(parts)


def _facts(report: BenchReport) -> str:
    machine, bundle = report.machine, report.bundle
    index = (
        "none" if report.index is None else f"{report.index.entries:,} entries, {report.index.search} search"
    )
    return format_table(
        ("edgesim bench", report.edgesim),
        [
            ("encoder", f"{bundle.name} ({bundle.encoder_id})"),
            *(("file", f"{file.name}, {file.bytes:,} bytes") for file in bundle.files),
            ("machine", f"{machine.cpu}, {machine.cores} cores, {machine.memory_mb} MiB, {machine.os}"),
            ("clock governor", report.governor or "not told"),
            ("queries run on", f"{report.engine}, {report.threads} thread"),
            ("index", index),
            ("measured", f"{report.seconds:g} s a figure, {report.date}"),
        ],
    )


def _startup(report: BenchReport) -> str:
    startup = report.startup
    return format_table(
        (f"start of a process, ms of {startup.total.count}", "median", "min", "max"),
        [
            (name, _ms(timing.p50_ms), _ms(timing.min_ms), _ms(timing.max_ms))
            for name, timing in {**startup.stages, "total": startup.total}.items()
        ],
    )


def _queries(report: BenchReport) -> str:
    rows = [
        (f"{query.megapixels:g} megapixels", name, *_timing(timing))
        for query in report.queries
        for name, timing in {**query.stages, "total": query.total}.items()
    ]
    return format_table(("query with a JPEG", "stage, ms", *_TIMING_COLUMNS), rows)


def _engines(report: BenchReport) -> str:
    rows = [
        (
            f"{row.engine} {row.version or ''}".strip(),
            row.precision,
            str(row.threads),
            f"{row.model_bytes:,}",
            *(("-",) * len(_TIMING_COLUMNS) if row.inference is None else _timing(row.inference)),
            "best here" if row.best else row.problem or "",
        )
        for row in report.engines
    ]
    header = ("engine, ms", "model", "threads", "bytes", *_TIMING_COLUMNS, "")
    return format_table(header, rows)


def _load(load: Load) -> str:
    windows = load.windows
    lines = [
        f"{load.kind} load, {load.engine} {load.precision}, threads {load.threads}: {load.per_second:.1f} "
        f"inferences a second (median of {len(windows)} windows), {windows[0].per_second:.1f} in the first, "
        f"{windows[-1].per_second:.1f} in the last",
        _board(load),
    ]
    if load.energy is not None:
        lines.append(
            f"energy ({load.energy.source}): {load.energy.watts:.2f} W, "
            f"{load.energy.joules_per_inference * 1000:.2f} mJ an inference"
        )
    return "\n".join(lines)


def _board(load: Load) -> str:
    states = [load.before, *(window.board for window in load.windows)]
    clock = _course([state.clock_mhz for state in states], "MHz")
    temperature = _course([state.temperature_c for state in states], "°C")
    held_back = "not told" if load.held_back is None else ", ".join(load.held_back) or "no"
    return f"clock {clock}; temperature {temperature}; held back: {held_back}"


def _course(values: Sequence[float | None], unit: str) -> str:
    """Return where something began and ended, and its extremes between."""
    told = [value for value in values if value is not None]
    if not told:
        return "not told"
    return f"{told[0]:.0f} to {told[-1]:.0f} {unit} ({min(told):.0f} to {max(told):.0f})"


def _verdicts(report: BenchReport) -> str:
    rows = [
        (
            verdict.budget,
            format_amount(verdict.value, verdict.unit),
            f"<= {format_amount(verdict.limit, verdict.unit)}",
            RESULTS[verdict.passed],
            verdict.note,
        )
        for verdict in report.verdicts
    ]
    return format_table((f"budgets of {report.profile}", "value", "limit", "result", "note"), rows)


def format_amount(value: float, unit: str) -> str:
    """Return a value with its unit, whole numbers as such: `984,483 bytes`, `78.8 MiB`."""
    return f"{value:,.0f} {unit}" if value == round(value) else f"{value:,.1f} {unit}"


def benchmark_model_lines(row: EngineRow) -> str:
    """Return the lines of TFLite's benchmark_model for a row that has timings: microseconds.

    Numbers are printed as its C++ streams do: six digits, the standard deviation cut to a whole number.
    """
    timing = row.inference
    if timing is None or row.load_ms is None or row.first_ms is None or row.warmup_ms is None:
        raise ValueError("expected a row with timings")
    whole = {
        name: round(milliseconds * 1000)
        for name, milliseconds in (
            ("first", timing.first_ms),
            ("curr", timing.last_ms),
            ("min", timing.min_ms),
            ("max", timing.max_ms),
        )
    }
    figures = " ".join(f"{name}={value}" for name, value in whole.items())
    return (
        f"Timings (microseconds): count={timing.count} {figures} "
        f"avg={timing.mean_ms * 1000:g} std={int(timing.sd_ms * 1000)}\n"
        f"Inference timings in us: Init: {round(row.load_ms * 1000)}, "
        f"First inference: {round(row.first_ms * 1000)}, Warmup (avg): {row.warmup_ms * 1000:g}, "
        f"Inference (avg): {timing.mean_ms * 1000:g}"
    )


def comparison_text(comparison: Comparison) -> str:
    """Return the table of a comparison, and what only one of the reports has."""
    table = format_table(
        ("figure", "unit", "before", "after", "ratio", "95 %", "verdict"),
        [_change(change) for change in comparison.changes],
    )
    alone = [
        f"only in the {which} report: {', '.join(names)}"
        for which, names in (("first", comparison.only_before), ("second", comparison.only_after))
        if names
    ]
    return "\n".join([table, *alone])


def _change(change: Change) -> tuple[str, ...]:
    interval = "-" if change.interval is None else "{:.3f} to {:.3f}".format(*change.interval)
    return (
        change.name,
        change.unit,
        f"{change.before:,.6g}",
        f"{change.after:,.6g}",
        f"{change.ratio:.3f}",
        interval,
        change.verdict,
    )


def _timing(timing: Timing) -> tuple[str, ...]:
    times = (timing.p50_ms, timing.p90_ms, timing.p99_ms, timing.sd_ms)
    return (str(timing.count), *map(_ms, times), f"{timing.per_second:.1f}")


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.3f}" if milliseconds < 1 else f"{milliseconds:.2f}"
