"""Peak memory and latency in fresh processes, and which machine counts as the device."""

import dataclasses
import io
import sys

import numpy as np
import pytest
from PIL import Image

from edgesim.errors import StorageError
from edgesim.machine import Machine, other_machine
from edgesim.profiles import load_profile
from edgesim.runtime import graph
from edgesim.runtime.index import EXACT_LIMIT, Index
from edgesim_export.device_probe import ProbeError, camera_photo, open_probe
from edgesim_export.device_run import answer, build_index
from tests.helpers import DIM

PI_4B = load_profile("pi-4b")
A_PI_4B = Machine(
    cpu="Cortex-A72",
    architecture="aarch64",
    features=("neon",),
    cores=4,
    memory_mb=900,
    os="Debian",
    python="3.11.2",
)


@pytest.fixture(autouse=True)
def graphs_as_ever(monkeypatch):
    """Undo afterwards what `build_index` sets, in its own process as a rule."""
    monkeypatch.setattr(graph, "DEFAULTS", graph.DEFAULTS)


def test_the_photo_is_of_camera_size_and_hard_to_compress():
    content = camera_photo()
    with Image.open(io.BytesIO(content)) as photo:
        assert (photo.format, photo.size) == ("JPEG", (3280, 2464))
    assert len(content) > 1_000_000
    assert camera_photo() == content


def test_an_index_of_random_unit_vectors(tmp_path, tiny_bundle):
    build_index(tiny_bundle, tmp_path / "index", 300)
    with Index.open(tmp_path / "index", tiny_bundle, read_only=True) as index:
        entries = index.entries()
        assert len(entries) == len({entry.path for entry in entries}) == 300
        assert index.stats()["graph"] == "not needed"
        matches = index.search(np.eye(DIM, dtype=np.float32)[0], 300)
    # The mean over the sphere of a component's square is 1 / D.
    squares = np.array([match.similarity for match in matches]) ** 2
    assert squares.mean() == pytest.approx(1 / DIM, rel=0.3)


def test_a_large_index_gets_a_graph_as_large_as_a_good_one(tmp_path, tiny_bundle, monkeypatch):
    count = EXACT_LIMIT + 1
    build_index(tiny_bundle, tmp_path / "hasty", count)
    with Index.open(tmp_path / "hasty", tiny_bundle) as hasty:
        assert hasty.stats()["graph"] == "fresh"
        size = hasty.stats()["bytes"]["graph.hnsw"]
        # Built again with more care.
        monkeypatch.setattr(graph, "DEFAULTS", graph.HnswParameters(ef_construction=32))
        assert hasty.rebuild_graph()
        # Not to the byte: hnswlib's threads draw an entry's level from one generator, without a lock.
        assert hasty.stats()["bytes"]["graph.hnsw"] == pytest.approx(size, rel=0.001)


def test_the_answer_of_one_process(tmp_path, tiny_bundle):
    build_index(tiny_bundle, tmp_path / "index", 50)
    found = answer(tiny_bundle, tmp_path / "index", camera_photo(), "onnxruntime", 3)
    assert set(found) == {"peak_mib", "search", "engine_version", "median_ms"}
    assert found["search"] == "exact"
    assert found["median_ms"] > 0


def test_memory_grows_with_the_index_and_is_that_of_the_process_alone(tiny_bundle):
    # Memory of this process must not count; 200 MiB would show.
    ballast = np.ones(25 * 2**20)
    peaks = []
    for entries in (100, 10_000):
        with open_probe(tiny_bundle, entries) as probe:
            measured = probe.run("onnxruntime", timed=False)
        assert (measured.search, measured.median_ms) == ("exact", None)
        peaks.append(measured.peak_mib)
    assert ballast.nbytes == 200 * 2**20
    # 10,000 vectors of 16 float32 are 0.6 MiB, and pass through Python's objects of some 100 bytes each.
    assert 0.6 < peaks[1] - peaks[0] < 20
    assert 30 < peaks[0] < 190


def test_what_a_failing_process_says(tiny_bundle):
    with open_probe(tiny_bundle, 10) as probe:
        with pytest.raises(ProbeError) as caught:
            probe.run("litert", timed=True)
        assert "holds no tflite model" in str(caught.value)
        assert "\n" not in str(caught.value)
        folder = probe.index.parent
    assert not folder.exists()


def test_a_process_that_is_killed(tiny_bundle, tmp_path, monkeypatch):
    with open_probe(tiny_bundle, 10) as probe:
        script = tmp_path / "python"
        script.write_text("#!/bin/sh\nkill -SEGV $$\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        with pytest.raises(ProbeError, match=r"^killed by SIGSEGV$"):
            probe.run("onnxruntime", timed=False)


def test_an_index_that_cannot_be_made(tiny_bundle):
    gone = dataclasses.replace(tiny_bundle, folder=tiny_bundle.folder / "gone")
    with pytest.raises(StorageError, match="an index of 7 entries cannot be made"), open_probe(gone, 7):
        pass


@pytest.mark.parametrize(
    ("profile", "machine", "reason"),
    [
        ("pi-4b", {}, None),
        ("pi-4b", {"cpu": "Cortex-A53"}, "this CPU is Cortex-A53, the device's BCM2711"),
        ("pi-4b", {"architecture": "x86_64"}, "this machine is x86_64, the device aarch64"),
        ("pi-5", {"cpu": "Cortex-A76"}, "this CPU lacks dotprod, fp16"),
        ("pi-5", {"cpu": "Cortex-A76", "features": ("neon", "dotprod", "fp16", "i8mm")}, None),
        (
            "shopfloor-x86",
            {"cpu": "AMD EPYC", "architecture": "x86_64", "features": ("sse4.2", "avx", "avx2")},
            "this CPU is AMD EPYC, the device's Intel Atom x5-Z8350",
        ),
        (
            "shopfloor-x86",
            {
                "cpu": "Intel(R) Atom(TM) x5-Z8350 CPU @ 1.44GHz",
                "architecture": "x86_64",
                "features": ("sse4.2",),
            },
            None,
        ),
    ],
)
def test_which_machine_is_the_device(profile, machine, reason):
    assert other_machine(dataclasses.replace(A_PI_4B, **machine), load_profile(profile)) == reason
