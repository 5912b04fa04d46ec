"""The figures in a report of `edgesim bench`.

Times are in milliseconds and memory in MiB, as the names say. What a board does not tell is None, never 0.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """How long something took, measured many times; all in milliseconds.

    Attributes:
        count: how often it was measured; mean to last_ms are over all of them.
        mean_ms, sd_ms: mean, and standard deviation with divisor `count`.
        min_ms, p50_ms, p90_ms, p99_ms, max_ms: order statistics; percentiles are interpolated linearly.
        first_ms, last_ms: the first and the last measurement.
        per_second: how often it can be done in a second: of the windows the median.
        windows_ms: the median of each of the windows that the measuring time was cut into; of what starts a
            process, each process is a window.
        samples_ms: the measurements in their order, thinned out evenly where there were more than are kept.
    """

    count: int
    mean_ms: float
    sd_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    first_ms: float
    last_ms: float
    per_second: float
    windows_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.windows_ms or min(self.windows_ms) <= 0:
            raise ValueError("expected windows_ms to hold times above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Startup:
    """From the start of a process to its first embedding, in processes of their own; files in the page cache.

    Attributes:
        process: until Python runs the first line.
        imports: of edgesim's runtime, NumPy, Pillow and the engine.
        load: the bundle checked, and its model loaded.
        first_inference: the first embedding of pixels.
        total: all of these.
    """

    process: Timing
    imports: Timing
    load: Timing
    first_inference: Timing
    total: Timing

    @property
    def stages(self) -> dict[str, Timing]:
        """What the total consists of, by name."""
        return {
            "Python": self.process,
            "imports": self.imports,
            "model load": self.load,
            "first inference": self.first_inference,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """The stages of a query with one JPEG, from its bytes to the matches; timed within the same queries.

    Attributes:
        megapixels: of the photo, rounded.
        width, height: in pixels.
        bytes: of the file.
        decode: to an upright RGB picture, at the reduced scale that queries decode at.
        preprocess: resizing and normalising.
        inference: to the L2-normalised embedding.
        search: in the index; None without one.
        total: all of these.
    """

    megapixels: float
    width: int
    height: int
    bytes: int
    decode: Timing
    preprocess: Timing
    inference: Timing
    search: Timing | None
    total: Timing

    @property
    def stages(self) -> dict[str, Timing]:
        """What the total consists of, by name."""
        stages = {"decode": self.decode, "preprocess": self.preprocess, "inference": self.inference}
        return stages if self.search is None else {**stages, "search": self.search}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineRow:
    """One engine with one model file on so many threads.

    Attributes:
        engine: its name.
        version: its version; None where that could not be found out.
        precision: of the model file: `int8`, `float32`; where only the weights are int8, `weights int8`.
        threads: of the inference.
        model_bytes: size of the model file.
        load_ms: the engine has loaded the model; None where it failed.
        first_ms: the first inference.
        warmup_ms: mean of those before the measuring, the first one among them.
        inference: the inference; None where the engine failed.
        problem: what went wrong in one line, or None.
        best: whether this row has the lowest median of all on this machine.
    """

    engine: str
    version: str | None
    precision: str
    threads: int
    model_bytes: int
    load_ms: float | None
    first_ms: float | None
    warmup_ms: float | None
    inference: Timing | None
    problem: str | None
    best: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident memory of a process that answers queries with the largest photo, in MiB.

    Attributes:
        peak_mib: the most that it had, as the kernel counts it.
        steady_mib: the median of the second half of its life.
        seconds: the instants at which its memory was read, from its start on.
        mib: what was read.
    """

    peak_mib: float
    steady_mib: float
    seconds: tuple[float, ...]
    mib: tuple[float, ...]

    def __post_init__(self) -> None:
        if min(self.peak_mib, self.steady_mib) <= 0 or len(self.seconds) != len(self.mib):
            raise ValueError("expected memory above 0 MiB, and as many seconds as mib")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoardState:
    """What the board tells about itself; None for what it does not tell.

    Attributes:
        clock_mhz: mean over the CPU cores.
        temperature_c: of the hottest zone of the chip.
        flags: what holds the chip back now: `under-voltage`, `clock capped`, `throttled`, `soft temperature
            limit`; empty if nothing does.
        flags_since_boot: what has held it back at some time since the board was started.
    """

    clock_mhz: float | None
    temperature_c: float | None
    flags: tuple[str, ...] | None
    flags_since_boot: tuple[str, ...] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of a load.

    Attributes:
        start_s: its begin, from that of the load on.
        seconds: its length.
        per_second: inferences a second.
        p50_ms: median time of one.
        board: at its end.
    """

    start_s: float
    seconds: float
    per_second: float
    p50_ms: float
    board: BoardState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Energy:
    """What the load took, of the part of the board that its sensor covers, idle power included.

    Attributes:
        source: the sensor: `rapl package`, `pmic`.
        watts: mean over the load.
        joules_per_inference: the energy over the number of inferences.
    """

    source: str
    watts: float
    joules_per_inference: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """Inferences back to back by the best row.

    Attributes:
        kind: `burst` or `sustained`.
        engine, precision, threads: the row.
        per_second: of the windows the median.
        before: the board's state before the load.
        windows: in their order.
        energy: None if the board does not tell.
    """

    kind: str
    engine: str
    precision: str
    threads: int
    per_second: float
    before: BoardState
    windows: tuple[Window, ...]
    energy: Energy | None

    def __post_init__(self) -> None:
        if not self.windows or min(window.per_second for window in self.windows) <= 0:
            raise ValueError("expected windows, with a per_second above 0")

    @property
    def held_back(self) -> tuple[str, ...] | None:
        """What held the chip back meanwhile, see `BoardState.flags`; None if the board does not tell."""
        told = [window.board.flags for window in self.windows if window.board.flags is not None]
        return tuple(dict.fromkeys(flag for flags in told for flag in flags)) if told else None
