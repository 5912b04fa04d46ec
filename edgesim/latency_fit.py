"""The latency model: cycles = p * instructions / threads + q * bytes, with p and q fitted for each core.

p is what an instruction costs when its data is near, q what a byte costs on its way from and to memory, which
all cores share. Both are fitted on published latencies by least squares of the relative error. How far
estimates are off is what they are off by for networks that the fit has not seen. Standard library only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from edgesim.engines import ENGINES
from edgesim.latency_data import Cost, LatencyData, Measurement

# Counted but not fitted: it shifts its windows by a stride, which LiteRT does element by element.
_STRIDED = "involution"
_BYTES = {"int8": 1, "float16": 2, "float32": 4}
# The band of an estimate: this many times the root mean square of log(estimate / truth). Our choice.
BAND_WIDTH = 3.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A linear relation to fit: `target` is about `coefficients[0] * x + coefficients[1] * y`.

    Attributes:
        group: what one fit is about: a core, or an engine on a core.
        network: what is left out together.
        x, y, target: numbers above 0.
    """

    group: str
    network: str
    x: float
    y: float
    target: float

    def predict(self, coefficients: tuple[float, float]) -> float:
        """Return the target that the coefficients give."""
        return coefficients[0] * self.x + coefficients[1] * self.y


def bytes_moved(cost: Cost, arithmetic: str, weight_bytes: int | None = None) -> int:
    """Return the bytes of all numbers that a network's layers read and write, weights included."""
    size = _BYTES[arithmetic]
    return cost.activations * size + cost.weights * (weight_bytes or size)


def latency_samples(data: LatencyData) -> list[Sample]:
    """Return a sample for each published latency: millions of instructions a thread, of bytes, of cycles."""
    return [_latency_sample(data, measurement) for measurement in data.measurements]


def _latency_sample(data: LatencyData, measurement: Measurement) -> Sample:
    core, network = measurement.core, measurement.network
    counted_as = "int8" if measurement.arithmetic == "int8" else "float"
    instructions = data.counts[measurement.engine, counted_as, core][network]
    weight_bytes = data.weight_bytes.get((measurement.engine, network, measurement.arithmetic, core))
    moved = bytes_moved(data.costs[network], measurement.arithmetic, weight_bytes)
    return Sample(
        group=core,
        network=network,
        x=instructions / measurement.threads / 1e6,
        y=moved / 1e6,
        target=measurement.ms * measurement.clock_mhz / 1e3,
    )


def instruction_group(engine: str, core: str) -> str:
    """Return the group of the samples of an engine on a core."""
    return f"{engine} on {core}"


def instruction_samples(data: LatencyData) -> list[Sample]:
    """Return a sample for each int8 count of edgesim's engines: millions of products, of bytes moved."""
    return [
        Sample(
            group=instruction_group(engine, core),
            network=network,
            x=data.costs[network].macs / 1e6,
            y=bytes_moved(data.costs[network], "int8") / 1e6,
            target=instructions / 1e6,
        )
        for (engine, arithmetic, core), networks in data.counts.items()
        if engine in ENGINES and arithmetic == "int8"
        for network, instructions in networks.items()
        if network != _STRIDED
    ]


def fit(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return the coefficients that make the sum of squared relative errors least; neither is below 0."""
    # Each sample is a row (x, y) / target that should give 1: the normal equations of two unknowns.
    rows = [(sample.x / sample.target, sample.y / sample.target) for sample in samples]
    xx, xy, yy = (sum(a * b for a, b in pairs) for pairs in _products(rows))
    x1, y1 = (sum(column) for column in zip(*rows, strict=True))
    determinant = xx * yy - xy * xy
    if determinant > 1e-9 * xx * yy:
        first, second = (x1 * yy - y1 * xy) / determinant, (y1 * xx - x1 * xy) / determinant
        if first >= 0 and second >= 0:
            return first, second
        if first < 0:
            return 0.0, y1 / yy
    return x1 / xx, 0.0


def _products(rows: Sequence[tuple[float, float]]) -> tuple[list[tuple[float, float]], ...]:
    return ([(x, x) for x, _ in rows], list(rows), [(y, y) for _, y in rows])


def left_out_errors(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Return network -> log(estimate / truth) of each of its samples, fitted on the other networks."""
    errors: dict[str, list[float]] = {sample.network: [] for sample in samples}
    for sample in samples:
        others = [s for s in samples if s.group == sample.group and s.network != sample.network]
        errors[sample.network].append(math.log(sample.predict(fit(others)) / sample.target))
    return errors


def spread(samples: Sequence[Sample]) -> float:
    """Return the root mean square of all errors of `left_out_errors`."""
    errors = [error for of_network in left_out_errors(samples).values() for error in of_network]
    return math.sqrt(sum(error * error for error in errors) / len(errors))
