"""What `edgesim bench` found on a machine: the report, and its JSON file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NoReturn

from edgesim.bench_figures import EngineRow, Load, Memory, Query, Startup
from edgesim.errors import InputError, UsageError
from edgesim.machine import Machine
from edgesim.settings import build

FORMAT = "edgesim bench"
# Raised whenever a reader of the older version would misread the file.
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileSize:
    """A file of the bundle."""

    name: str
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """The bundle that was measured.

    Attributes:
        name: the encoder's.
        encoder_id: identity of spec and float weights.
        input_size: height and width of the network's input in pixels.
        embedding_dim: numbers of an embedding.
        files: all files but the manifest.
    """

    name: str
    encoder_id: str
    input_size: int
    embedding_dim: int
    files: tuple[FileSize, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexFacts:
    """The index that was searched: number of entries, and `exact` or `hnsw`."""

    entries: int
    search: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """One budget of the profile.

    Attributes:
        budget: `model size`, `peak memory` or `latency`.
        value: what was measured.
        limit: the most that the profile allows.
        unit: of both.
        passed: None if it was not measured here.
        note: what was measured, or why it does not count.
    """

    budget: str
    value: float
    limit: float
    unit: str
    passed: bool | None
    note: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchReport:
    """All of it.

    Attributes:
        edgesim: its version.
        date: when, ISO 8601, UTC.
        machine: on what.
        governor: the kernel's choice of the clock, such as `ondemand`; None if it does not tell.
        packages: name -> version.
        bundle: of what encoder.
        index: that was searched; None without one.
        profile: the name of the device profile that the verdicts are about, or None.
        engine, threads: what the queries ran on: what the other commands use.
        seconds: how long each figure was measured.
        startup, queries, engines, memory: the figures; queries by the size of the photo, smallest first.
        burst, sustained: the loads; None if not asked for, or if no engine runs.
        verdicts: empty without a profile.
    """

    edgesim: str
    date: str
    machine: Machine
    governor: str | None
    packages: dict[str, str]
    bundle: BundleFacts
    index: IndexFacts | None
    profile: str | None
    engine: str
    threads: int
    seconds: float
    startup: Startup
    queries: tuple[Query, ...]
    engines: tuple[EngineRow, ...]
    memory: Memory
    burst: Load | None
    sustained: Load | None
    verdicts: tuple[Verdict, ...]

    @property
    def loads(self) -> tuple[Load, ...]:
        """The loads that were run, burst first."""
        return tuple(load for load in (self.burst, self.sustained) if load is not None)

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(
            {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}, indent=2
        )


def read_bench_report(path: Path) -> BenchReport:
    """Read the file that `edgesim bench --json` printed.

    Raises:
        InputError: it cannot be read, is none, is damaged, or is of another format version.
    """
    try:
        values = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not the JSON of edgesim bench --json ({error})") from error
    return _from_values(values, path)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no figure")


def _from_values(values: Any, path: Path) -> BenchReport:
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise InputError(f"{path}: not a report of edgesim bench; make one with: edgesim bench BUNDLE --json")
    version = values.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: a report of format version {version}, this edgesim reads {FORMAT_VERSION}; "
            "make it again with: edgesim bench BUNDLE --json"
        )
    try:
        return build(BenchReport, values, str(path))
    except UsageError as error:
        raise InputError(f"{error} (make it again with: edgesim bench BUNDLE --json)") from error
