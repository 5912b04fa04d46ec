"""Latency estimates: the fit by hand and by NumPy, and estimates for networks that it has not seen."""

import dataclasses
import math

import numpy as np
import pytest

from edgesim.bundle_writing import write_bundle
from edgesim.errors import BundleError, UsageError
from edgesim.latency_data import Cost, LatencyData, Measurement, load_latency_data
from edgesim.latency_estimate import band_factor, bundle_cost, bundle_estimates, estimate_latency
from edgesim.latency_fit import (
    Sample,
    bytes_moved,
    fit,
    instruction_samples,
    latency_samples,
    left_out_errors,
    spread,
)
from edgesim.model_spec import ModelSpec
from edgesim.profiles import load_profile

DATA = load_latency_data()
NETWORKS = sorted({measurement.network for measurement in DATA.measurements})
ENGINES = ("litert", "onnxruntime", "tflite-runtime")
COST = Cost(macs=80_000_000, activations=1_100_000, weights=900_000)


def samples(*rows, group="core"):
    return [Sample(group=group, network=f"n{i}", x=x, y=y, target=t) for i, (x, y, t) in enumerate(rows)]


def numpy_fit(rows):
    """The same least squares, by another hand."""
    matrix = np.array([[sample.x / sample.target, sample.y / sample.target] for sample in rows])
    return np.linalg.lstsq(matrix, np.ones(len(rows)), rcond=None)[0]


def test_fit_finds_the_coefficients_that_made_the_data():
    assert fit(samples((1, 10, 20.5), (8, 2, 8.0), (3, 3, 7.5))) == pytest.approx((0.5, 2.0))


@pytest.mark.parametrize("core", ["Cortex-A53", "Cortex-A72", "Cortex-A76"])
def test_fit_is_numpy_s_on_the_published_data(core):
    rows = [sample for sample in latency_samples(DATA) if sample.group == core]
    assert len(rows) >= 10
    assert fit(rows) == pytest.approx(tuple(numpy_fit(rows)), rel=1e-9)


def test_fit_gives_nothing_below_zero():
    # The rows are (1, 0) and (1.25, 0.25): with both numbers, the second would be -1.
    assert fit(samples((10, 0.001, 10), (10, 2, 8))) == (pytest.approx(2.25 / (1 + 1.25**2)), 0.0)
    assert fit(samples((0.001, 10, 10), (2, 10, 8))) == (0.0, pytest.approx(2.25 / (1 + 1.25**2)))
    # Two rows that say the same.
    assert fit(samples((1, 2, 4), (2, 4, 8))) == (pytest.approx(4), 0.0)


def test_samples_by_hand():
    (found,) = [
        sample
        for sample, measurement in zip(latency_samples(DATA), DATA.measurements, strict=True)
        if (measurement.board, measurement.network, measurement.arithmetic)
        == ("Raspberry Pi 4, 64-bit system", "mobilenet_v2", "int8")
    ]
    assert found.group == "Cortex-A72"
    assert found.x == DATA.counts["litert", "int8", "Cortex-A72"]["mobilenet_v2"] / 4 / 1e6
    # Sandler et al. give 300 M multiply-adds and 3.4 M parameters.
    cost = DATA.costs["mobilenet_v2"]
    assert cost.macs == pytest.approx(300e6, rel=0.01)
    assert cost.weights == pytest.approx(3.4e6, rel=0.03)
    assert found.y == (cost.activations + cost.weights) / 1e6
    assert found.target == 17 * 1.5e9 / 1e3 / 1e6
    assert bytes_moved(cost, "float32") == 4 * bytes_moved(cost, "int8")
    assert bytes_moved(cost, "int8", weight_bytes=8) == cost.activations + 8 * cost.weights


def test_every_published_latency_counts_and_says_where_it_was_read():
    assert len(DATA.measurements) == len(latency_samples(DATA)) == 52
    assert all(measurement.source for measurement in DATA.measurements)
    assert set(DATA.made_by) >= {"qemu", *ENGINES, "ncnn"}


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_that_the_fit_has_not_seen_are_within_its_band(network):
    seen = [sample for sample in latency_samples(DATA) if sample.network != network]
    factor = band_factor(spread(seen))  # the band too knows nothing of this network
    unseen = [sample for sample in latency_samples(DATA) if sample.network == network]
    assert unseen
    for sample in unseen:
        first, second = numpy_fit([s for s in seen if s.group == sample.group])
        estimate = first * sample.x + second * sample.y
        assert estimate / factor <= sample.target <= estimate * factor, sample
    assert factor < 2.2  # a band that always holds is none


@pytest.mark.parametrize("network", sorted(set(DATA.costs) - {"involution"}))
def test_instructions_of_networks_that_the_fit_has_not_seen_are_within_its_band(network):
    seen = [sample for sample in instruction_samples(DATA) if sample.network != network]
    factor = band_factor(spread(seen))
    unseen = [sample for sample in instruction_samples(DATA) if sample.network == network]
    assert len(unseen) == len(ENGINES) * 3
    for sample in unseen:
        first, second = numpy_fit([s for s in seen if s.group == sample.group])
        estimate = first * sample.x + second * sample.y
        assert estimate / factor <= sample.target <= estimate * factor, sample
    assert factor < 1.8


def test_left_out_errors_by_hand():
    rows = samples((1, 1, 3), (2, 1, 4), (1, 2, 5))
    errors = left_out_errors(rows)
    # Without the first, 2a + b = 4 and a + 2b = 5: a = 1, b = 2, and 3 is met. So are the others.
    assert [errors[f"n{i}"] for i in range(3)] == [[pytest.approx(0, abs=1e-12)]] * 3
    rows[0] = dataclasses.replace(rows[0], target=6)
    assert left_out_errors(rows)["n0"] == [pytest.approx(math.log(3 / 6))]
    assert band_factor(0.0) == 1.0
    assert band_factor(0.3, 0.4) == pytest.approx(math.exp(3 * 0.5))


def hand_made_data():
    """One core: half a cycle an instruction, two a byte; three instructions a product, one a byte."""
    costs = {
        f"n{i}": Cost(macs=macs * 1_000_000, activations=moved * 1_000_000, weights=1_000_000)
        for i, (macs, moved) in enumerate([(10, 4), (40, 2), (20, 14)])
    }
    counts = {name: 3 * c.macs + c.activations + c.weights for name, c in costs.items()}
    cycles = {
        name: 0.5 * counts[name] / 2 + 2 * (cost.activations + cost.weights) for name, cost in costs.items()
    }
    measurements = tuple(
        Measurement(
            board="a board",
            core="Cortex-A72",
            clock_mhz=1000,
            engine="litert",
            network=name,
            arithmetic="int8",
            threads=2,
            ms=cycles[name] / 1e6,
            source="a page",
        )
        for name in costs
    )
    return LatencyData(
        costs=costs,
        counts={("litert", "int8", "Cortex-A72"): counts},
        measurements=measurements,
        weight_bytes={},
        made_by={},
    )


def test_an_estimate_by_hand():
    profile = load_profile("pi-4b")
    found = estimate_latency(profile, "litert", COST, hand_made_data())
    instructions = 3 * 80e6 + 2e6
    assert found.instructions == instructions
    # One thread, at 1500 MHz.
    assert found.ms == pytest.approx((0.5 * instructions + 2 * 2e6) / 1.5e6)
    assert (found.low_ms, found.high_ms) == (pytest.approx(found.ms), pytest.approx(found.ms))
    assert (found.fitted_on, found.networks) == (3, ("n0", "n1", "n2"))
    assert found.sources == ("a board: a page",)
    slower = dataclasses.replace(profile, clock_mhz=750)
    assert estimate_latency(slower, "litert", COST, hand_made_data()).ms == pytest.approx(2 * found.ms)


def test_estimates_of_the_shipped_profiles_have_a_band_and_an_order():
    boards = ("pi-5", "pi-4b", "pi-3b-plus", "pi-zero-2w")
    found = [estimate_latency(load_profile(name), "litert", COST) for name in boards]
    assert [estimate.ms for estimate in found] == sorted(estimate.ms for estimate in found)
    for estimate in found:
        assert estimate.low_ms < estimate.ms < estimate.high_ms
        assert estimate.high_ms / estimate.ms == pytest.approx(estimate.ms / estimate.low_ms)
    values = found[0].to_dict()
    assert "ms" not in values  # no figure without the word
    assert (values["estimated_ms"], values["networks"]) == (found[0].ms, list(found[0].networks))


def test_no_estimate_for_a_core_without_published_latencies():
    with pytest.raises(UsageError) as caught:
        estimate_latency(load_profile("shopfloor-x86"), "onnxruntime", COST)
    assert str(caught.value) == (
        "profile shopfloor-x86: no estimate for onnxruntime on the core Airmont; latencies are published for "
        "Cortex-A53, Cortex-A72, Cortex-A76"
    )


def test_no_estimate_for_a_32_bit_system():
    profile = dataclasses.replace(load_profile("pi-zero-2w"), architecture="armv7l")
    with pytest.raises(UsageError) as caught:
        estimate_latency(profile, "tflite-runtime", COST)
    assert str(caught.value) == (
        "profile pi-zero-2w: no estimate for a system of armv7l; the instructions were "
        "counted in code for aarch64"
    )


def small_bundle(folder, models):
    files = {f"model.{key}": b"model" for key in models}
    facts = {key: {"file": f"model.{key}", **more} for key, more in models.items()}
    spec = ModelSpec(name="parts", input_size=64, embedding_dim=32)
    made = {"recipe": {}, "gates": [], "made_by": {}}
    return write_bundle(folder, spec=spec, encoder_id="0" * 16, models=facts, files=files, **made)


def test_a_bundle_s_estimates_are_of_the_engines_that_run_it(tmp_path):
    cost = dataclasses.asdict(COST)
    profile = load_profile("pi-4b")
    both = bundle_estimates(
        profile, small_bundle(tmp_path / "both", {k: {"cost": cost} for k in ("onnx", "tflite")})
    )
    assert [estimate.engine for estimate in both] == ["litert", "onnxruntime", "tflite-runtime"]
    assert both[0] == estimate_latency(profile, "litert", COST)
    (alone,) = bundle_estimates(profile, small_bundle(tmp_path / "onnx", {"onnx": {"cost": cost}}))
    assert alone == both[1]
    only_litert = dataclasses.replace(profile, engines=("litert",))
    with pytest.raises(
        BundleError, match=r"holds no model for profile pi-4b, which runs tflite; export it with"
    ):
        bundle_estimates(only_litert, small_bundle(tmp_path / "other", {"onnx": {"cost": cost}}))


@pytest.mark.parametrize(
    "more", [{}, {"cost": {"macs": 5}}, {"cost": dataclasses.asdict(COST) | {"macs": "5"}}]
)
def test_an_older_bundle_says_what_to_do(tmp_path, more):
    bundle = small_bundle(tmp_path / "old", {"onnx": more})
    with pytest.raises(BundleError) as caught:
        bundle_cost(bundle, "onnx")
    assert str(caught.value) == (
        f"{bundle.folder}: does not say what its onnx network computes, which an estimate needs; "
        "export it again with this edgesim"
    )
