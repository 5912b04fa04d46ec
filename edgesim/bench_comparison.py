"""What has changed between two reports of `edgesim bench`, and whether that is more than their noise."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Sequence

from edgesim.bench_figures import Query, Startup, Timing
from edgesim.bench_report import BenchReport

# Student's t of 4 degrees of freedom, two-sided 95 %: the fewest that five windows a side can have, when all
# of the spread comes from one side. With more windows it is too wide, which does no harm.
_T = 2.776
# Windows of one run lie nearer to each other than two runs do: the memory's layout and the clock differ. A
# change below this share is called noise however still the windows are. Our choice, see docs/bench.md.
RUN_TO_RUN = 0.10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a report.

    Attributes:
        unit: `ms`, `1/s`, `MiB` or `bytes`.
        value: it.
        windows: what it was in each window; empty for what was measured once.
    """

    unit: str
    value: float
    windows: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One figure in two reports.

    Attributes:
        name: of the figure.
        unit: `ms`, `1/s`, `MiB` or `bytes`.
        before, after: its values.
        ratio: after over before.
        interval: where the ratio lies with 95 % by the windows' spread; None for what was measured once.
        verdict: `within noise`; or `faster`, `slower`, `smaller`, `larger`, `same`; or `measured once`.
    """

    name: str
    unit: str
    before: float
    after: float
    ratio: float
    interval: tuple[float, float] | None
    verdict: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two reports side by side.

    Attributes:
        changes: of the figures that both have.
        only_before, only_after: names of those that one of them has.
        warnings: why the reports may not be comparable, a line each.
    """

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    warnings: tuple[str, ...]


def compare(before: BenchReport, after: BenchReport) -> Comparison:
    """Compare two reports, figure by figure."""
    old, new = dict(figures(before)), dict(figures(after))
    return Comparison(
        changes=tuple(_change(name, old[name], new[name]) for name in old if name in new),
        only_before=tuple(name for name in old if name not in new),
        only_after=tuple(name for name in new if name not in old),
        warnings=tuple(_warnings(before, after)),
    )


def figures(report: BenchReport) -> Iterator[tuple[str, Figure]]:
    """Yield the name of each figure of a report, and the figure."""
    yield from _stages("start", report.startup)
    for query in report.queries:
        yield from _stages(f"{query.megapixels:g} megapixels", query)
    for row in report.engines:
        if row.inference is not None:
            yield (
                f"{row.engine}, {row.precision}, threads {row.threads}",
                _of_timing(row.inference),
            )
    for load in report.loads:
        windows = tuple(window.per_second for window in load.windows)
        yield f"{load.kind} load", Figure(unit="1/s", value=statistics.median(windows), windows=windows)
    yield "memory: peak", Figure(unit="MiB", value=report.memory.peak_mib)
    yield "memory: steady", Figure(unit="MiB", value=report.memory.steady_mib)
    for file in report.bundle.files:
        if file.bytes:
            yield f"file: {file.name}", Figure(unit="bytes", value=file.bytes)


def _stages(name: str, of: Startup | Query) -> Iterator[tuple[str, Figure]]:
    for stage, timing in {**of.stages, "total": of.total}.items():
        yield f"{name}: {stage}", _of_timing(timing)


def _of_timing(timing: Timing) -> Figure:
    return Figure(unit="ms", value=statistics.median(timing.windows_ms), windows=timing.windows_ms)


def _change(name: str, before: Figure, after: Figure) -> Change:
    ratio = after.value / before.value
    interval = None
    if len(before.windows) > 1 and len(after.windows) > 1:
        interval = ratio_interval(before.windows, after.windows)
    return Change(
        name=name,
        unit=before.unit,
        before=before.value,
        after=after.value,
        ratio=ratio,
        interval=interval,
        verdict=_verdict(before.unit, ratio, interval),
    )


def ratio_interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return where the ratio of two figures lies with 95 %, from the values in their windows, two at least.

    Welch's interval of the difference of logarithms, with the fewest degrees of freedom that it can have.
    """
    error = math.sqrt(
        sum(statistics.variance(math.log(value) for value in side) / len(side) for side in (before, after))
    )
    ratio = statistics.median(after) / statistics.median(before)
    return ratio * math.exp(-_T * error), ratio * math.exp(_T * error)


def _verdict(unit: str, ratio: float, interval: tuple[float, float] | None) -> str:
    if unit == "bytes":
        return "same" if ratio == 1 else "larger" if ratio > 1 else "smaller"
    if interval is None:
        return "measured once"
    low, high = min(interval[0], ratio / (1 + RUN_TO_RUN)), max(interval[1], ratio * (1 + RUN_TO_RUN))
    if low <= 1 <= high:
        return "within noise"
    return "slower" if (ratio > 1) == (unit == "ms") else "faster"


def _warnings(before: BenchReport, after: BenchReport) -> Iterator[str]:
    for field in dataclasses.fields(before.machine):
        old, new = getattr(before.machine, field.name), getattr(after.machine, field.name)
        if old != new:
            yield f"not the same machine: {field.name} {_shown(old)}, then {_shown(new)}"
    for name, old, new in (
        ("clock governor", before.governor, after.governor),
        ("encoder", before.bundle.encoder_id, after.bundle.encoder_id),
        ("engine of the queries", before.engine, after.engine),
        ("index", before.index, after.index),
        ("seconds for each figure", before.seconds, after.seconds),
    ):
        if old != new:
            yield f"not the same {name}: {_shown(old)}, then {_shown(new)}"
    for title, report in (("first", before), ("second", after)):
        flags = held_back(report)
        if flags:
            yield f"the {title} board was held back while it was measured: {', '.join(flags)}"


def _shown(value: object) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return " ".join(f"{name} {shown}" for name, shown in dataclasses.asdict(value).items())
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    return "none" if value is None else str(value)


def held_back(report: BenchReport) -> tuple[str, ...]:
    """Return what held the chip back during the loads, as far as the board tells: see `BoardState.flags`."""
    return tuple(dict.fromkeys(flag for load in report.loads for flag in load.held_back or ()))
