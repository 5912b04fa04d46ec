"""What `edgesim bench` measures on a small encoder: queries, engines, memory, processes."""

import signal
import sys

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.runtime.bench.children import ChildError, finish, start_python
from edgesim.runtime.bench.engine_rows import Contender, contenders, measure_engine, precision
from edgesim.runtime.bench.memory import measure_memory
from edgesim.runtime.bench.photos import Photo, draw_photo
from edgesim.runtime.bench.queries import QueryStages, measure_query
from edgesim.runtime.bench.resident import peak_mib, resident_mib
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.index import Index
from tests.runtime.index_entries import unit_vectors

PHOTO = Photo(megapixels=0.3, width=320, height=240, content=draw_photo(320, 240, seed=0))


@pytest.fixture(scope="module")
def searched(tiny_bundle: Bundle, tmp_path_factory):
    """An index of 20 entries."""
    folder = tmp_path_factory.mktemp("bench") / "index"
    with Index.create(folder, tiny_bundle) as index:
        index.add(
            [
                NewEntry(path=f"/{i}.jpg", sha256=f"{i:064x}", size=1, mtime_ns=0, labels={}, vector=vector)
                for i, vector in enumerate(unit_vectors(20))
            ]
        )
    with Index.open(folder, tiny_bundle, read_only=True) as index:
        yield index


def test_the_stages_are_those_of_a_query(tiny_bundle: Bundle, searched):
    stages = QueryStages(tiny_bundle, "onnxruntime", 1, searched)
    times = stages.answer(PHOTO.content)
    expected = Embedder(tiny_bundle, "onnxruntime").embed_image(PHOTO.content)
    np.testing.assert_array_equal(stages.embedding, expected)
    assert stages.matches == searched.search(expected, 5)
    assert len(stages.matches) == 5
    assert all(milliseconds > 0 for milliseconds in times)
    assert sum(times[:4]) == pytest.approx(times[4])


def test_the_means_of_the_stages_add_up_to_that_of_the_query(tiny_bundle: Bundle, searched):
    query = measure_query(QueryStages(tiny_bundle, "onnxruntime", 1, searched), PHOTO, 0.05)
    stages = (query.decode, query.preprocess, query.inference, query.search)
    assert sum(stage.mean_ms for stage in stages) == pytest.approx(query.total.mean_ms)
    assert {stage.count for stage in stages} == {query.total.count}
    assert (query.width, query.height, query.bytes) == (320, 240, len(PHOTO.content))


def test_without_an_index_nothing_is_searched(tiny_bundle: Bundle):
    stages = QueryStages(tiny_bundle, "onnxruntime", 1, None)
    assert measure_query(stages, PHOTO, 0.01).search is None
    assert stages.matches == []


@pytest.mark.parametrize(
    ("quantisation", "expected"),
    [
        ("static: int8 weights per channel, gptq, 7 bits used; uint8 activations, percentile 99.99", "int8"),
        ("static: int8 weights per tensor, nearest; int8 activations; in float: head", "int8"),
        ("weights: int8 weights per channel, nearest; float32 activations", "weights int8"),
        ("dynamic: int8 weights per channel, nearest; int8 activations", "dynamic int8"),
        ("float32 weights", "float32"),
        ("float16 weights", "float16"),
        ("none", "float32"),
    ],
)
def test_what_a_model_file_computes_in(tiny_bundle: Bundle, monkeypatch, quantisation, expected):
    monkeypatch.setitem(tiny_bundle.models["onnx"], "quantisation", quantisation)
    assert precision(tiny_bundle, "onnxruntime") == expected


def test_engines_without_a_model_file_are_no_contenders(tiny_bundle: Bundle):
    name = str(tiny_bundle.folder)
    assert contenders(name, tiny_bundle) == [Contender(name=name, bundle=tiny_bundle, engine="onnxruntime")]


def test_an_engine_has_a_row_for_each_number_of_threads(tiny_bundle: Bundle):
    (contender,) = contenders(str(tiny_bundle.folder), tiny_bundle)
    rows = measure_engine(contender, (1, 2), 0.02)
    assert [(row.engine, row.precision, row.threads, row.best) for row in rows] == [
        ("onnxruntime", "float32", 1, False),
        ("onnxruntime", "float32", 2, False),
    ]
    for row in rows:
        assert row.problem is None
        assert row.version == Embedder(tiny_bundle).engine_version
        assert row.model_bytes == (tiny_bundle.folder / "model.onnx").stat().st_size
        assert row.inference.count >= 5
        assert min(row.load_ms, row.first_ms, row.warmup_ms, row.inference.min_ms) > 0


def test_an_engine_that_fails_has_a_row_that_says_why(tiny_bundle: Bundle, tmp_path):
    contender = Contender(name=str(tmp_path / "gone"), bundle=tiny_bundle, engine="onnxruntime")
    (row,) = measure_engine(contender, (1, 2), 0.02)
    assert (row.inference, row.load_ms, row.version, row.best) == (None, None, None, False)
    assert "no such folder" in row.problem


def test_memory_is_watched_from_outside(tiny_bundle: Bundle, searched):
    memory = measure_memory(str(tiny_bundle.folder), "onnxruntime", 1, searched.folder, PHOTO, 0.2)
    # The kernel adds up its counters lazily.
    assert memory.peak_mib > max(memory.mib) - 1
    # With NumPy, Pillow and an engine in it.
    assert 20 < memory.steady_mib < memory.peak_mib + 1
    assert len(memory.seconds) == len(memory.mib) > 5
    assert list(memory.seconds) == sorted(memory.seconds)


def test_the_peak_is_what_was_taken_at_once():
    took = "import json; x = b'1' * (200 << 20); del x; "
    process = start_python(took + "from edgesim.runtime.bench.resident import peak_mib; print(peak_mib())")
    peak = finish(process)
    assert 200 < peak < 300
    assert resident_mib(process.pid) is None
    assert peak_mib() > 0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('first\\nlast')", "last"),
        ("raise SystemExit(3)", "exit status 3"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGILL)})", "killed by SIGILL: built for another CPU"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", "killed by SIGKILL"),
    ],
)
def test_a_process_that_fails_is_told(code, message):
    with pytest.raises(ChildError) as failed:
        finish(start_python(code))
    assert str(failed.value) == message


def test_a_process_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr("edgesim.runtime.bench.children._STARTING_S", 0.2)
    process = start_python("import time; time.sleep(60)")
    with pytest.raises(ChildError, match="no answer"):
        finish(process)
    assert process.returncode == -signal.SIGKILL


def test_processes_find_what_this_one_finds():
    paths = finish(start_python("import json, sys; print(json.dumps(sys.path))"))
    assert {path for path in sys.path if path} <= set(paths)
    assert "" not in paths
    assert finish(start_python("import json, sys; print('noise'); print(json.dumps(sys.argv[1:]))", "a")) == [
        "a"
    ]
