"""Only what was measured on the board itself passes for a reference."""

import dataclasses
import json

import pytest
from pages.reference_files import read_reference, read_references

from edgesim.errors import InputError
from tests.bench_reports import PI_4B, a_report

ENCODER = "0123456789abcdef"


def written(folder, name="pi-4b", text=None, machine=None, **changes):
    """Write a report by a Raspberry Pi 4, with changes."""
    report = a_report(profile="pi-4b", machine=dataclasses.replace(PI_4B, **(machine or {})))
    path = folder / f"{name}.json"
    path.write_text(text or dataclasses.replace(report, **changes).to_json())
    return path


def test_a_report_of_the_board_is_read(tmp_path):
    written(tmp_path)
    (tmp_path / "README.md").write_text("not a report")
    ((name, report),) = read_references(ENCODER, tmp_path).items()
    assert name == "pi-4b"
    assert report.machine == PI_4B
    assert report.memory.peak_mib == 93.5


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"machine": {"cpu": "AMD EPYC", "architecture": "x86_64", "features": ("sse4.2",)}}, "x86_64"),
        ({"machine": {"cpu": "Cortex-A53"}}, "this CPU is Cortex-A53"),
        ({"machine": {"features": ()}}, "lacks neon"),
        ({"machine": {"cores": 2}}, "2 cores, the device 4"),
        ({"machine": {"memory_mb": 430}}, "430 MiB of memory"),
        ({"profile": "pi-5"}, "measured with --profile pi-5, expected pi-4b"),
        ({"profile": None}, "measured with --profile None, expected pi-4b"),
        ({"name": "pi-6"}, "unknown profile 'pi-6'"),
        ({"text": json.dumps({"estimates": [{"estimated_ms": 13.0}]})}, "not a report of edgesim bench"),
    ],
)
def test_what_was_not_measured_on_the_board_is_refused(tmp_path, made, reason):
    path = written(tmp_path, **made)
    with pytest.raises(InputError, match=reason) as error:
        read_reference(path, ENCODER)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_another_encoder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"copy \(0123456789abcdef\), expected fedc; measure it again"):
        read_reference(written(tmp_path), "fedc")
