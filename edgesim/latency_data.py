"""What latency estimates rest on: instruction counts, and latencies that others published.

Both are files in `firmware_profiles/latency`: `instructions.toml`, made by `bench/bench_instructions.py`,
and `published.toml`, which says where each figure was read. Standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from importlib import resources
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What the convolutions and linear layers of a network do for one image.

    Attributes:
        macs: multiply-accumulates.
        activations: numbers that they read and write, but for the weights.
        weights: numbers in their kernels.
    """

    macs: int
    activations: int
    weights: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """One published latency.

    Attributes:
        board, core, clock_mhz: what it was measured on.
        engine: whose instructions were counted for it.
        network: a key of `LatencyData.costs`.
        arithmetic: `int8`, `float16` or `float32`.
        threads: of the inference.
        ms: the latency.
        source: where it was published.
    """

    board: str
    core: str
    clock_mhz: int
    engine: str
    network: str
    arithmetic: str
    threads: int
    ms: float
    source: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatencyData:
    """All of it.

    Attributes:
        costs: network -> its cost.
        counts: engine, arithmetic (`int8` or `float`) and core -> network -> instructions on one thread.
        measurements: the published latencies.
        weight_bytes: engine, network, arithmetic and core -> bytes that a weight takes there, where these are
            not the size of the number.
        made_by: versions of the programs that counted.
    """

    costs: dict[str, Cost]
    counts: dict[tuple[str, str, str], dict[str, int]]
    measurements: tuple[Measurement, ...]
    weight_bytes: dict[tuple[str, str, str, str], int]
    made_by: dict[str, str]


@functools.cache
def load_latency_data() -> LatencyData:
    """Read both files."""
    counted, published = _read("instructions.toml"), _read("published.toml")
    return LatencyData(
        costs={name: Cost(**values) for name, values in counted["networks"].items()},
        counts={
            (engine, arithmetic, core): networks
            for engine, arithmetics in counted["counts"].items()
            for arithmetic, cores in arithmetics.items()
            for core, networks in cores.items()
        },
        measurements=tuple(
            Measurement(**{**table, "network": network, "arithmetic": arithmetic, "ms": float(ms)})
            for table in published["measurements"]
            for arithmetic, networks in table["ms"].items()
            for network, ms in networks.items()
        ),
        weight_bytes={
            (table["engine"], table["network"], table["arithmetic"], core): table["weight_bytes"]
            for table in published["winograd"]
            for core in table["cores"]
        },
        made_by=counted["made_by"],
    )


def _read(name: str) -> dict[str, Any]:
    file = resources.files("firmware_profiles") / "latency" / name
    return tomllib.loads(file.read_text(encoding="utf-8"))
