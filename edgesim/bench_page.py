"""What `edgesim bench` found as one HTML page without other files: verdicts, bars, curves and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from edgesim.bench_charts import (
    Stages,
    latency_histogram,
    milliseconds,
    query_stages,
    stage_chart,
    startup_stages,
)
from edgesim.bench_figures import EngineRow, Load, Memory, Startup, Timing
from edgesim.bench_report import BenchReport, Verdict
from edgesim.bench_time_charts import clocks, is_told, load_chart, memory_chart, temperatures
from edgesim.html_page import html_page

_STYLE = """
h1 { overflow-wrap: anywhere }
h3 { font-size: 1rem; margin: 1rem 0 0 }
p { margin: .2rem 0; color: #575e67 }
b { color: #1c2026 }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 0 2rem }
svg { display: block; width: 100%; max-width: 520px; margin: .6rem 0 }
.scroll { overflow-x: auto; margin: .6rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid #dde1e6; text-align: right }
th { font-weight: 400 }
thead th { color: #575e67 }
th:first-child, .text { text-align: left }
.best th, .best td { font-weight: 600 }
.note, .problem { white-space: normal; overflow-wrap: anywhere; text-align: left; min-width: 12rem }
.within { color: #00694c; font-weight: 600 }
.over { color: #a84a00; font-weight: 600 }
@media (max-width: 600px) { th .row { display: block } }
@media print { svg, tr { break-inside: avoid } h2, h3 { break-after: avoid } }
"""
_VERDICTS = {True: ("within", "within"), False: ("over", "over"), None: ("", "not judged")}

Cells = Sequence[str]


def bench_page(report: BenchReport) -> str:
    """Return the page as HTML with inline style and SVG; what was not measured is said to be so."""
    parts = [
        *_facts(report),
        "<h2>Budgets</h2>",
        *_budgets(report),
        "<h2>A query, stage by stage</h2>",
        *_queries(report),
        "<h2>From the start of a process</h2>",
        *_startup(report.startup),
        "<h2>Engines on this machine</h2>",
        *_engines(report.engines),
        "<h2>Memory</h2>",
        *_memory(report.memory, report.verdicts),
        "<h2>Under load</h2>",
        *_loads(report.loads),
    ]
    return html_page(f"{report.bundle.name} on {report.machine.cpu}", _STYLE, parts, width=1000)


def _facts(report: BenchReport) -> Iterator[str]:
    machine, bundle = report.machine, report.bundle
    features = f" ({', '.join(machine.features)})" if machine.features else ""
    packages = ", ".join(f"{name} {version}" for name, version in report.packages.items())
    index = report.index
    told = (
        f"Encoder {bundle.name} ({bundle.encoder_id}): {bundle.input_size}x{bundle.input_size} pixels in, "
        f"{bundle.embedding_dim} numbers out; "
        + ", ".join(f"{file.name} {file.bytes / 1000:,.0f} kB" for file in bundle.files),
        "No index was searched."
        if index is None
        else f"Index of {index.entries:,} entries, {index.search} search.",
        f"{machine.cpu}{features}, {machine.architecture}, {machine.cores} cores, {machine.memory_mb:,} MiB, "
        f"{machine.os}; clock governor {report.governor or 'not told'}.",
        f"edgesim {report.edgesim}, Python {machine.python}, {packages}; {report.date[:10]}.",
    )
    return (f"<p>{escape(line)}</p>" for line in told)


def _budgets(report: BenchReport) -> Iterator[str]:
    if report.profile is None:
        yield "<p>No device profile was named, so nothing is judged.</p>"
        return
    yield f"<p>Of the device profile {escape(report.profile)}.</p>"
    rows = [
        f'<tr><th scope="row">{escape(of.budget)}</th><td class="text {style}">{words}</td>'
        f"<td>{_amount(of.value, of.unit)}</td><td>{_amount(of.limit, of.unit)}</td>"
        f'<td class="note">{escape(of.note)}</td></tr>'
        for of in report.verdicts
        for style, words in [_VERDICTS[of.passed]]
    ]
    yield _table(("budget", "verdict", "measured", "at most", "of"), rows, texts=("verdict", "of"))


def _amount(value: float, unit: str) -> str:
    return escape(f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.4g} {unit}")


def _queries(report: BenchReport) -> Iterator[str]:
    if not report.queries:
        yield "<p>No query was measured.</p>"
        return
    yield (
        f"<p>From the bytes of a JPEG to the matches, with {escape(report.engine)} on "
        f"{_threads(report.threads)}, measured for {report.seconds:g} s each size. A bar's parts are "
        "medians; the figure above it is the median of whole queries.</p>"
    )
    bars = [query_stages(query) for query in report.queries]
    yield stage_chart("stages", "Stages of a query", bars)
    stages = [stage for stage, _ in bars[0].medians]
    head = ("photo", *stages, "total", "90 %", "99 %", "deviation", "a second")
    yield _table(head, [_row(bar.label, [*_medians(bar), *_timing(bar.total)]) for bar in bars])
    yield "<p>Milliseconds: medians; of the total also 90th and 99th percentile and standard deviation.</p>"
    yield '<div class="charts">'
    for number, query in enumerate(report.queries):
        title = f"{query.megapixels:g} megapixels"
        details = f"{query.width}x{query.height} pixels, {query.bytes / 1000:,.0f} kB"
        yield f"<div><h3>Whole queries, {title}</h3><p>{details}</p>"
        yield latency_histogram(f"query-{number}", f"Time of whole queries, {title}", query.total) + "</div>"
    yield "</div>"


def _startup(startup: Startup) -> Iterator[str]:
    bar, total = startup_stages(startup), startup.total
    yield f"<p>To its first embedding, of pixels; medians of {total.count} processes in milliseconds.</p>"
    yield stage_chart("startup", "Start of a process", [bar])
    head = ("", *(stage for stage, _ in bar.medians), "total", "lowest", "highest")
    totals = map(milliseconds, (total.p50_ms, total.min_ms, total.max_ms))
    yield _table(head, [_row(bar.label, [*_medians(bar), *totals])])


def _medians(bar: Stages) -> list[str]:
    return [milliseconds(median) for _, median in bar.medians]


def _timing(timing: Timing) -> tuple[str, ...]:
    figures = (timing.p50_ms, timing.p90_ms, timing.p99_ms, timing.sd_ms)
    return (*map(milliseconds, figures), f"{timing.per_second:,.1f}")


def _engines(rows: Sequence[EngineRow]) -> Iterator[str]:
    ran = sorted(
        ((row, row.inference) for row in rows if row.inference is not None),
        key=lambda pair: (not pair[0].best, pair[1].p50_ms),
    )
    failed = [row for row in rows if row.inference is None]
    if not ran:
        yield "<p>No engine ran this encoder.</p>"
    for row, inference in ran[:1]:
        if row.best:
            yield f"<p>Best for this machine: <b>{_engine(row)}</b>, {milliseconds(inference.p50_ms)} ms.</p>"
            yield latency_histogram("inference", "Time of one inference", inference)
    head = ("engine", "median", "90 %", "99 %", "deviation", "a second", "first", "load", "kB")
    lines = [_engine_row(row, inference) for row, inference in ran]
    lines += [
        f'<tr><th scope="row">{_engine(row)}</th><td class="problem" colspan="{len(head) - 1}">failed: '
        f"{escape(row.problem or 'not told why')}</td></tr>"
        for row in failed
    ]
    if lines:
        yield _table(head, lines)
        yield (
            "<p>Milliseconds of one inference, without decoding, after warming up; the first one; loading "
            "the model. kB: of the model file.</p>"
        )


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def _engine(row: EngineRow) -> str:
    name = escape(f"{row.engine} {row.version or '(version not told)'}")
    return f'{name} <span class="row">{escape(row.precision)}, {_threads(row.threads)}</span>'


def _engine_row(row: EngineRow, inference: Timing) -> str:
    starts = ["" if value is None else milliseconds(value) for value in (row.first_ms, row.load_ms)]
    cells = (*_timing(inference), *starts, f"{row.model_bytes / 1000:,.0f}")
    return _row(_engine(row), cells, escaped=True, best=row.best)


def _memory(memory: Memory, verdicts: Iterable[Verdict]) -> Iterator[str]:
    yield (
        "<p>Of a process that answers queries with the largest photo: "
        f"peak <b>{memory.peak_mib:.0f} MiB</b>, steady <b>{memory.steady_mib:.0f} MiB</b>.</p>"
    )
    if not memory.mib:
        yield "<p>Its memory was not read over time.</p>"
        return
    limits = [of.limit for of in verdicts if of.budget == "peak memory"]
    yield memory_chart(memory, limits[0] if limits else None)


def _loads(loads: Sequence[Load]) -> Iterator[str]:
    if not loads:
        yield "<p>Not measured.</p>"
        return
    head = ("load", "a second", "first window", "last window", "watts", "joules each")
    yield _table(head, [_load_row(load) for load in loads])
    yield "<p>Inferences back to back; the median of the windows, and the first and the last of them.</p>"
    if loads[-1].kind != "sustained":
        yield "<p>No sustained load was measured, so how heat slows this board down is not known.</p>"
    yield '<div class="charts">'
    for load in loads:
        words = f"{load.kind}: {load.engine}, {load.precision}, {_threads(load.threads)}"
        yield f"<div><h3>{escape(words)}</h3>"
        yield from (f"<p>{sentence}</p>" for sentence in _board_sentences(load))
        yield load_chart(load) + "</div>"
    yield "</div>"


def _load_row(load: Load) -> str:
    speeds = (load.per_second, load.windows[0].per_second, load.windows[-1].per_second)
    energy = ("not told", "not told")
    if load.energy is not None:
        energy = (f"{load.energy.watts:.3g}", f"{load.energy.joules_per_inference:.3g}")
    return _row(load.kind, [*(f"{speed:,.1f}" for speed in speeds), *energy])


def _board_sentences(load: Load) -> Iterator[str]:
    """Yield what held the chip back, and what the board does not tell."""
    if load.held_back:
        yield f"Shaded: {escape(', '.join(load.held_back))}."
    elif load.held_back is None:
        yield "This board does not tell whether something holds its chip back."
    else:
        yield "Nothing held the chip back."
    silent = [
        name
        for name, curve in (("clock", clocks(load)), ("temperature", temperatures(load)))
        if not is_told(curve)
    ]
    if silent:
        yield f"This board does not tell its {' or its '.join(silent)}."


def _row(label: str, cells: Iterable[str], *, escaped: bool = False, best: bool = False) -> str:
    style = ' class="best"' if best else ""
    name = label if escaped else escape(label)
    return f'<tr{style}><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _table(head: Cells, rows: Iterable[str], texts: Cells = ()) -> str:
    columns = "".join(
        f'<th scope="col"{" class=text" if name in texts else ""}>{escape(name)}</th>' for name in head
    )
    table = f"<table><thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="scroll">{table}</div>'
