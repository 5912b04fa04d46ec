"""`edgesim profiles`."""

import dataclasses
import json

import pytest

from edgesim.bundle_writing import write_bundle
from edgesim.cli.main import main
from edgesim.latency_data import Cost
from edgesim.latency_estimate import estimate_latency
from edgesim.model_spec import ModelSpec
from edgesim.profiles import load_profile, profile_names

COST = Cost(macs=80_000_000, activations=1_100_000, weights=900_000)


def test_lists_every_profile(capsys):
    assert main(["profiles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["profile", "device", "cpu", "features", "memory", "engines"]
    assert [line.split()[0] for line in lines[1:]] == profile_names()
    zero = next(line for line in lines if line.startswith("pi-zero-2w"))
    assert zero.endswith("  neon               512 MiB   litert, onnxruntime, tflite-runtime")


def test_shows_one_with_its_sources(capsys):
    assert main(["profiles", "pi-5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("pi-5: Raspberry Pi 5\n\n")
    row = next(line for line in out.splitlines() if line.startswith("clock_mhz"))
    assert row.split(maxsplit=2) == ["clock_mhz", "2400", "raspberrypi/documentation bcm2712.adoc"]


def test_json_of_one_and_of_all(capsys):
    assert main(["profiles", "pi-4b", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert (one["name"], one["ram_mb"], one["engines"][0]) == ("pi-4b", 1024, "litert")
    assert one["sources"] == load_profile("pi-4b").sources
    assert main(["profiles", "--json"]) == 0
    assert [profile["name"] for profile in json.loads(capsys.readouterr().out)] == profile_names()


def test_an_unknown_profile_is_a_usage_error(capsys):
    assert main(["profiles", "pi4"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "edgesim: unknown profile 'pi4'; did you mean 'pi-4b'?\n"
    assert captured.out == ""


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(
        tmp_path / "parts",
        spec=ModelSpec(name="parts", input_size=64, embedding_dim=32),
        encoder_id="0123456789abcdef",
        models={"tflite": {"file": "model.tflite", "cost": dataclasses.asdict(COST)}},
        recipe={},
        gates=[],
        made_by={},
        files={"model.tflite": b"model"},
    )


def test_estimates_call_themselves_estimates(bundle, capsys):
    assert main(["profiles", "pi-5", "--bundle", str(bundle.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pi-5: Raspberry Pi 5, parts (0123456789abcdef): estimated, not measured"
    assert lines[2].split() == ["engine", "estimate", "range", "instructions"]
    expected = estimate_latency(load_profile("pi-5"), "litert", COST)
    cells = [cell.strip() for cell in lines[3].split("  ") if cell]
    assert cells[:2] == ["litert", f"about {expected.ms:.1f} ms"]
    assert cells[2] == f"{expected.low_ms:.1f} to {expected.high_ms:.1f} ms"
    assert lines[4].startswith("tflite-runtime")
    text = "\n".join(lines[5:])
    assert "Covers one inference by the engine, on one thread, in a process already running" in text
    assert "(2400 MHz)" in text
    assert "Does not cover decoding" in text
    assert "Fitted on 10 published latencies of the Cortex-A76" in text


def test_estimates_as_json(bundle, capsys):
    assert main(["profiles", "pi-5", "--bundle", str(bundle.folder), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["profile"] == "pi-5"
    assert values["encoder_id"] == "0123456789abcdef"
    assert values["estimates"][0] == estimate_latency(load_profile("pi-5"), "litert", COST).to_dict()
    assert set(values["estimates"][0]) >= {"estimated_ms", "low_ms", "high_ms", "fitted_on", "sources"}


def test_a_bundle_needs_a_profile(bundle, capsys):
    assert main(["profiles", "--bundle", str(bundle.folder)]) == 2
    assert capsys.readouterr().err == (
        "edgesim: --bundle: for which device? Name a profile too; edgesim profiles lists them\n"
    )


def test_a_core_without_published_latencies_has_no_estimate(bundle, capsys):
    assert main(["profiles", "shopfloor-x86", "--bundle", str(bundle.folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "edgesim: profile shopfloor-x86: no estimate for litert on the core Airmont; latencies are published "
        "for Cortex-A53, Cortex-A72, Cortex-A76\n"
    )
