"""How long one inference will take on a device that is not here: an estimate, with its band.

Instructions are estimated from what the network's layers do, milliseconds from these and from latencies that
others published for other networks on the same core (`edgesim.latency_fit`). Standard library only.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from edgesim.bundle import Bundle
from edgesim.engines import ENGINES
from edgesim.errors import BundleError, UsageError
from edgesim.latency_data import Cost, LatencyData, load_latency_data
from edgesim.latency_fit import (
    BAND_WIDTH,
    bytes_moved,
    fit,
    instruction_group,
    instruction_samples,
    latency_samples,
    spread,
)
from edgesim.profiles import DeviceProfile

COVERS = (
    "one inference by the engine, on one thread, in a process already running, at the profile's highest clock"
)
# Of the code whose instructions were counted; 32-bit code takes more.
ARCHITECTURE = "aarch64"
NOT_COVERED = (
    "decoding and resizing the photo, the search, a clock lowered by heat, other programs at work; "
    "architectures with a strided involution take longer"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatencyEstimate:
    """An estimate of `COVERS`; it leaves out `NOT_COVERED`.

    Attributes:
        engine: a key of `edgesim.engines.ENGINES`.
        core, clock_mhz: of the profile.
        instructions: of the inference, estimated.
        ms: the estimate.
        low_ms, high_ms: its band: `ms` divided and multiplied by the same factor.
        fitted_on: how many published latencies of this core it rests on.
        networks: the networks that these are of.
        sources: where these were published.
    """

    engine: str
    core: str
    clock_mhz: int
    instructions: int
    ms: float
    low_ms: float
    high_ms: float
    fitted_on: int
    networks: tuple[str, ...]
    sources: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; the figures' names say that they are estimates."""
        values = dataclasses.asdict(self)
        names = {"ms": "estimated_ms", "instructions": "estimated_instructions"}
        return {names.get(key, key): list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def estimate_latency(
    profile: DeviceProfile, engine: str, cost: Cost, data: LatencyData | None = None
) -> LatencyEstimate:
    """Estimate the latency of an int8 network.

    Args:
        profile: the device.
        engine: a key of `edgesim.engines.ENGINES`.
        cost: of the network, as it is exported.
        data: by default what ships with edgesim.

    Raises:
        UsageError: nothing was published, or counted, for the profile's core or system.
    """
    data = data or load_latency_data()
    measurements = [m for m in data.measurements if m.core == profile.core]
    all_counts = instruction_samples(data)
    counts = [s for s in all_counts if s.group == instruction_group(engine, profile.core)]
    if not measurements or not counts:
        known = ", ".join(sorted({m.core for m in data.measurements}))
        raise UsageError(
            f"profile {profile.name}: no estimate for {engine} on the core {profile.core}; latencies are "
            f"published for {known}"
        )
    if profile.architecture != ARCHITECTURE:
        raise UsageError(
            f"profile {profile.name}: no estimate for a system of {profile.architecture}; the instructions "
            f"were counted in code for {ARCHITECTURE}"
        )
    moved = bytes_moved(cost, "int8") / 1e6
    per_mac, per_byte = fit(counts)
    instructions = per_mac * cost.macs / 1e6 + per_byte * moved
    samples = latency_samples(data)
    per_instruction, per_moved_byte = fit([s for s in samples if s.group == profile.core])
    ms = (per_instruction * instructions + per_moved_byte * moved) * 1e3 / profile.clock_mhz
    factor = band_factor(spread(samples), spread(all_counts))
    return LatencyEstimate(
        engine=engine,
        core=profile.core,
        clock_mhz=profile.clock_mhz,
        instructions=round(instructions * 1e6),
        ms=ms,
        low_ms=ms / factor,
        high_ms=ms * factor,
        fitted_on=len(measurements),
        networks=tuple(sorted({m.network for m in measurements})),
        sources=tuple(sorted({f"{m.board}: {m.source}" for m in measurements})),
    )


def band_factor(*spreads: float) -> float:
    """Return the factor of the band, from the spreads of errors that have nothing to do with each other."""
    return math.exp(BAND_WIDTH * math.sqrt(sum(spread * spread for spread in spreads)))


def bundle_estimates(profile: DeviceProfile, bundle: Bundle) -> list[LatencyEstimate]:
    """Return an estimate for each of the profile's engines that runs a model of the bundle, in its order.

    Raises:
        BundleError: no such model, or an older bundle, whose manifest does not say what its networks compute.
        UsageError: see `estimate_latency`.
    """
    engines = [engine for engine in profile.engines if ENGINES[engine].model_format in bundle.models]
    if not engines:
        raise BundleError(
            f"{bundle.folder}: holds no model for profile {profile.name}, which runs "
            f"{', '.join(profile.formats)}; export it with --profile {profile.name}"
        )
    return [
        estimate_latency(profile, engine, bundle_cost(bundle, ENGINES[engine].model_format))
        for engine in engines
    ]


def bundle_cost(bundle: Bundle, model_format: str) -> Cost:
    """Return what the manifest says of the cost of a model; raises `BundleError` if that is nothing."""
    values = bundle.models[model_format].get("cost")
    fields = {field.name for field in dataclasses.fields(Cost)}
    if (
        not isinstance(values, dict)
        or set(values) != fields
        or not all(type(v) is int for v in values.values())
    ):
        raise BundleError(
            f"{bundle.folder}: does not say what its {model_format} network computes, which an estimate "
            "needs; export it again with this edgesim"
        )
    return Cost(**values)
