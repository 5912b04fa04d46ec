"""The curves of `edgesim bench` as SVG: memory over time, and speed, clock and temperature under load."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from edgesim.bench_charts import WIDTH
from edgesim.bench_figures import Load, Memory
from edgesim.chart_labels import Box, Place
from edgesim.svg import BLUE, GRID, INK, VERMILION, Axis, chart_head, path, round_axis, text, tick_beside

_LEFT, _RIGHT = 50, WIDTH - 14
_MEMORY = Box(_LEFT, 16, _RIGHT, 196)
_PANEL, _STEP = 104, 146
_LINE, _LIMIT, _HELD_BACK = BLUE, VERMILION, "#f7e0d0"
# Longer than this, time is told in minutes.
_MINUTES_FROM = 180.0

# What has not been told at an instant is None.
Curve = Sequence[tuple[float, float | None]]


def memory_chart(memory: Memory, limit_mib: float | None) -> str:
    """Return resident memory over time, with the budget if there is one; needs one reading at least."""
    peak, steady = memory.peak_mib, memory.steady_mib
    x, unit = _time_axis(memory.seconds[-1])
    y = round_axis(0.0, max(peak, *memory.mib, limit_mib or 0.0), _MEMORY.bottom, _MEMORY.top)
    words = f"peak {peak:.0f} MiB, steady {steady:.0f} MiB"
    parts = [
        chart_head("memory", "Memory over time", words, WIDTH, _MEMORY.bottom + 46),
        *_time_grid(x, _MEMORY.top, _MEMORY.bottom),
        *_levels(y, _MEMORY),
        *_curve(x, y, list(zip(memory.seconds, memory.mib, strict=True))),
    ]
    if limit_mib is not None:
        py = y.place(limit_mib)
        parts += [
            path([(_MEMORY.left, py), (_MEMORY.right, py)], _LIMIT, 2),
            text(_MEMORY.right, py - 5, f"budget {limit_mib:g} MiB", "end", INK),
        ]
    middle = (_MEMORY.left + _MEMORY.right) / 2
    return "\n".join([*parts, text(middle, _MEMORY.bottom + 40, unit, "middle", INK), "</svg>"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Panel:
    """One of the curves of a load, and whether its axis begins at zero."""

    title: str
    curve: Curve
    from_zero: bool = True


def load_chart(load: Load) -> str:
    """Return what the board tells of speed, clock and temperature during a load, one above the other.

    The ground is shaded where something held the chip back. What the board never tells has no curve.
    """
    last = load.windows[-1]
    x, unit = _time_axis(last.start_s + last.seconds)
    panels = _panels(load)
    bottom = 10 + _STEP * len(panels)
    flags = ", ".join(load.held_back or ()) or "nothing told"
    words = f"{load.per_second:.1f} inferences a second; held back by: {flags}"
    parts = [chart_head(load.kind, f"Speed under load, {load.kind}", words, WIDTH, bottom + 30)]
    for number, panel in enumerate(panels):
        top = 34 + number * _STEP
        plot = Box(_LEFT, top, _RIGHT, top + _PANEL)
        values = [value for _, value in panel.curve if value is not None]
        y = round_axis(0.0 if panel.from_zero else min(values), max(values), plot.bottom, plot.top, most=5)
        parts += [
            text(_LEFT, top - 10, panel.title, "start", INK, bold=True),
            *_shades(x, load, plot),
            *_time_grid(x, plot.top, plot.bottom, numbers=number == len(panels) - 1),
            *_levels(y, plot),
            *_curve(x, y, panel.curve),
        ]
    return "\n".join([*parts, text((_LEFT + _RIGHT) / 2, bottom + 24, unit, "middle", INK), "</svg>"])


def clocks(load: Load) -> Curve:
    """Return the clock in MHz at instants in seconds."""
    return [(0.0, load.before.clock_mhz)] + [
        (window.start_s + window.seconds, window.board.clock_mhz) for window in load.windows
    ]


def temperatures(load: Load) -> Curve:
    """Return the temperature in degrees Celsius at instants in seconds."""
    return [(0.0, load.before.temperature_c)] + [
        (window.start_s + window.seconds, window.board.temperature_c) for window in load.windows
    ]


def is_told(curve: Curve) -> bool:
    """Return whether the board tells a figure at one instant at least."""
    return any(value is not None for _, value in curve)


def _panels(load: Load) -> list[_Panel]:
    speed = [(window.start_s + window.seconds / 2, window.per_second) for window in load.windows]
    panels = [
        _Panel(title="inferences a second", curve=speed),
        _Panel(title="clock, MHz", curve=clocks(load)),
        _Panel(title="temperature, °C", curve=temperatures(load), from_zero=False),
    ]
    return [panel for panel in panels if is_told(panel.curve)]


def _time_axis(seconds: float) -> tuple[Axis, str]:
    """Return an axis of seconds, whose ticks are full minutes where it is long, and the unit of its ticks."""
    per_unit, unit = (60.0, "minutes") if seconds > _MINUTES_FROM else (1.0, "seconds")
    axis = round_axis(0.0, seconds / per_unit, _LEFT, _RIGHT)
    ticks = tuple(tick * per_unit for tick in axis.ticks if tick * per_unit <= seconds * (1 + 1e-9))
    return dataclasses.replace(axis, high=max(seconds, 1e-9), ticks=ticks), unit


def _time_grid(axis: Axis, top: float, bottom: float, *, numbers: bool = True) -> Iterator[str]:
    per_unit = 60.0 if axis.high > _MINUTES_FROM else 1.0
    for tick in axis.ticks:
        px = axis.place(tick)
        yield path([(px, top), (px, bottom)], GRID)
        if numbers:
            yield text(px, bottom + 18, f"{tick / per_unit:g}", "middle")


def _levels(axis: Axis, plot: Box) -> Iterator[str]:
    return (tick_beside(axis, tick, plot, f"{tick:g}", 7) for tick in axis.ticks)


def _shades(axis: Axis, load: Load, plot: Box) -> Iterator[str]:
    """Yield a ground for each stretch of windows in which something held the chip back."""
    for is_held, group in itertools.groupby(load.windows, key=lambda window: bool(window.board.flags)):
        if is_held:
            windows = list(group)
            left = axis.place(windows[0].start_s)
            right = axis.place(windows[-1].start_s + windows[-1].seconds)
            yield (
                f'<rect x="{left:.1f}" y="{plot.top:g}" width="{right - left:.1f}" '
                f'height="{plot.bottom - plot.top:g}" fill="{_HELD_BACK}"/>'
            )


def _curve(x: Axis, y: Axis, curve: Curve) -> Iterator[str]:
    """Yield lines through what is told, interrupted where nothing is; a lone point is a dot."""
    run: list[Place] = []
    for seconds, value in [*curve, (0.0, None)]:
        if value is not None:
            run.append((x.place(seconds), y.place(value)))
        elif run:
            (px, py), alone = run[0], len(run) == 1
            yield (
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{_LINE}"/>'
                if alone
                else path(run, _LINE, 2)
            )
            run = []
