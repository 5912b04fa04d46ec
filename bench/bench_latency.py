"""How good the latency estimates are: what comes out for published latencies of a network that is left out.

    python bench/bench_latency.py

Nothing is measured: it fits the figures in firmware_profiles/latency, as `edgesim profiles` does. Beside the
estimates for `copy` stand the counts of bench_encoder_instructions.py. The result goes to
bench/results/latency.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from typing import Any

from harness import RESULTS, write_result
from pages.encoders import INSTRUCTIONS

from edgesim.engines import ENGINES
from edgesim.latency_data import LatencyData, load_latency_data
from edgesim.latency_estimate import ARCHITECTURE, band_factor, bundle_cost, estimate_latency
from edgesim.latency_fit import (
    Sample,
    fit,
    instruction_group,
    instruction_samples,
    latency_samples,
    left_out_errors,
    spread,
)
from edgesim.profiles import load_profile, profile_names
from edgesim.runtime.embedder import open_bundle


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    data = load_latency_data()
    latencies = latency_samples(data)
    result = {
        "made_by": data.made_by,
        "cores": _cores(latencies),
        "terms": _terms(latencies),
        "latencies": _latencies(data, latencies),
        "spread": spread(latencies),
        "factor": band_factor(spread(latencies)),
        "instructions": {engine: _instructions(data, engine) for engine in ENGINES},
        "instruction_spread": spread(instruction_samples(data)),
        "instruction_factor": band_factor(spread(instruction_samples(data))),
        "factor_of_both": band_factor(spread(latencies), spread(instruction_samples(data))),
        "left_out_bands": _left_out_bands(latencies),
        "encoder_id": open_bundle("copy").encoder_id,
        "copy": _copy(data),
    }
    print(f"wrote {write_result('latency', result)}")


def _cores(samples: list[Sample]) -> dict[str, Any]:
    cores = {}
    for core in sorted({sample.group for sample in samples}):
        per_instruction, per_byte = fit([sample for sample in samples if sample.group == core])
        cores[core] = {"cycles_per_instruction": per_instruction, "cycles_per_byte": per_byte}
    return cores


def _terms(samples: list[Sample]) -> dict[str, Any]:
    """How far off the estimates of left out networks are by instructions alone, by bytes alone, by both."""
    terms = {
        "instructions only": [dataclasses.replace(sample, y=sample.x * 1e-9) for sample in samples],
        "bytes only": [dataclasses.replace(sample, x=sample.y * 1e-9) for sample in samples],
        "instructions and bytes": samples,
    }
    return {
        name: {"spread": spread(rows), "worst": math.exp(max(map(abs, _all_errors(rows))))}
        for name, rows in terms.items()
    }


def _all_errors(samples: list[Sample]) -> list[float]:
    return [error for errors in left_out_errors(samples).values() for error in errors]


def _latencies(data: LatencyData, samples: list[Sample]) -> list[dict[str, Any]]:
    errors = {network: iter(values) for network, values in left_out_errors(samples).items()}
    return [
        {
            **dataclasses.asdict(measurement),
            "million_instructions": sample.x * measurement.threads,
            "estimated_over_published": math.exp(next(errors[measurement.network])),
        }
        for measurement, sample in zip(data.measurements, samples, strict=True)
    ]


def _instructions(data: LatencyData, engine: str) -> dict[str, Any]:
    groups = [instruction_group(engine, core) for core in _cores(latency_samples(data))]
    samples = [sample for sample in instruction_samples(data) if sample.group in groups]
    return {
        "spread": spread(samples),
        "worst": math.exp(max(map(abs, _all_errors(samples)))),
        "networks": len({sample.network for sample in samples}),
    }


def _left_out_bands(samples: list[Sample]) -> dict[str, Any]:
    """The band that the other networks give, and the worst estimate of the one that is left out."""
    errors = left_out_errors(samples)
    bands = {}
    for network, own in errors.items():
        others = [sample for sample in samples if sample.network != network]
        worst = math.exp(max(map(abs, own)))
        bands[network] = {"latencies": len(own), "factor": band_factor(spread(others)), "worst": worst}
    return bands


def _copy(data: LatencyData) -> list[dict[str, Any]]:
    """The estimates for the built-in encoder `copy`, and how many instructions its files take."""
    known = {measurement.core for measurement in data.measurements}
    profiles = [
        profile
        for profile in map(load_profile, profile_names())
        if profile.core in known and profile.architecture == ARCHITECTURE
    ]
    bundle = open_bundle("copy")
    counted = json.loads((RESULTS / f"{INSTRUCTIONS}.json").read_text())["encoders"]["copy"]
    return [
        {
            "profile": profile.name,
            **estimate_latency(profile, engine, bundle_cost(bundle, ENGINES[engine].model_format)).to_dict(),
            "counted_instructions": counted[engine][profile.core.lower()],
        }
        for profile in profiles
        for engine in profile.engines
    ]


if __name__ == "__main__":
    main()
