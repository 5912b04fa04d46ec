"""`edgesim profiles`."""

import json

from edgesim.cli.main import main
from edgesim.profiles import load_profile, profile_names


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
