"""What the search benchmark computes, against loops, and that an interrupted run goes on."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import bench_search_peers
import doc_tables
import numpy as np
import pytest
from charts.search import growth_chart, power_axis, series, spread
from pages import search as search_page
from search import ratios, rows, vectors
from search.library import LIBRARIES

BENCH = Path(bench_search_peers.__file__).parent
NAMES = ["one", "two", "three"]


def test_drawn_vectors_are_seeded_and_queries_near_an_entry():
    drawn, queries = vectors.draw(300, 20)
    again = vectors.draw(300, 20)
    assert np.array_equal(drawn, again[0])
    assert np.array_equal(queries, again[1])
    assert (drawn.dtype, drawn.shape, queries.dtype, queries.shape) == (
        np.float32,
        (300, vectors.DIM),
        np.float32,
        (20, vectors.DIM),
    )
    assert np.allclose(np.linalg.norm(drawn, axis=1), 1, atol=1e-5)
    assert np.abs((queries @ drawn.T).max(axis=1) - 0.8).max() < 0.15


@pytest.mark.parametrize("part", [7, 64, 1000])
def test_nearest_rows_are_those_of_a_full_sort(monkeypatch, part):
    monkeypatch.setattr(vectors, "_PART", part)
    drawn, queries = vectors.draw(200, 15)
    for found, query in zip(vectors.nearest_rows(drawn, queries, 10), queries, strict=True):
        assert sorted(found) == sorted(np.argsort(-(drawn @ query))[:10])


def test_recall_is_the_share_that_was_found():
    nearest = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert vectors.recall(np.array([[4, 3, 2, 1], [5, 6, 0, 9]]), nearest) == 6 / 8
    assert vectors.recall(nearest + 100, nearest) == 0


def test_a_ratio_is_the_median_of_ratios_not_the_ratio_of_medians():
    pairs = [(1.0, 1.0), (4.0, 2.0), (9.0, 3.0)]
    assert ratios.summary(pairs) == {"value": 2.0, "ours_ms": 4.0, "others_ms": 2.0}
    assert ratios.summary([(2.0, 1.0), (3.0, 30.0), (5.0, 10.0)])["value"] == 0.5


def test_both_sides_go_first_in_turn_and_see_the_same_queries():
    calls: list[str] = []
    ratios.in_turn(lambda: calls.append("a"), lambda: calls.append("b"), 4)
    assert "".join(calls) == "abbaabba"
    seen: dict[str, list[int]] = {"a": [], "b": []}
    queries = np.arange(3)
    ratios.by_query(lambda q: seen["a"].append(int(q)), lambda q: seen["b"].append(int(q)), queries)
    assert seen["a"] == seen["b"] == [0, 1, 2] * (1 + ratios.ROUNDS)


def test_the_best_product_is_the_product():
    drawn, queries = vectors.draw(50, 3)
    assert np.allclose(ratios.best_product(drawn, queries)(queries[0]), drawn @ queries[0], atol=1e-6)


def test_a_row_of_the_same_run_is_not_measured_again(tmp_path):
    path = tmp_path / "rows.json"
    assert rows.read_run(path, "a") == {"run": "a", "rows": [], "ratios": {}}
    some = [{"library": "two", "entries": 10}]
    path.write_text(json.dumps({"run": "a", "rows": some, "ratios": {"x": 1}}))
    assert rows.read_run(path, "a")["rows"] == some
    assert rows.read_run(path, "b") == {"run": "b", "rows": [], "ratios": {}}
    assert rows.missing(some, [10, 20], ["one", "two"]) == [(10, "one"), (20, "one"), (20, "two")]


def test_rows_are_ordered_by_size_and_library():
    some: list[rows.Row] = []
    for entries, library in ((20, "one"), (10, "three"), (10, "two")):
        some = rows.with_row(some, {"library": library, "entries": entries}, NAMES)
    assert [(row["entries"], row["library"]) for row in some] == [(10, "two"), (10, "three"), (20, "one")]


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    """The second library fails at first; then the first is not measured again."""
    measured: list[tuple[str, int]] = []
    broken = {"hnswlib"}

    def measure(library, size, folder):
        if library in broken:
            raise RuntimeError(library)
        assert (folder / "vectors.npy").exists()
        measured.append((library, size))
        return {"library": library, "entries": size}

    def write_result(name, result):
        (tmp_path / f"{name}.json").write_text(json.dumps(result))

    monkeypatch.setattr(bench_search_peers, "RESULTS", tmp_path)
    monkeypatch.setattr(bench_search_peers, "write_result", write_result)
    monkeypatch.setattr(bench_search_peers, "measure", measure)
    options = ["--sizes", "20", "--run", "r", "--no-ratios", "--folder", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["x", *options, "--libraries", "edgesim exact", "hnswlib"])
    with pytest.raises(RuntimeError):
        bench_search_peers.main()
    broken.clear()
    bench_search_peers.main()
    assert measured == [("edgesim exact", 20), ("hnswlib", 20)]


@pytest.mark.parametrize("name", ["edgesim exact", "edgesim HNSW", "hnswlib"])
def test_a_library_builds_opens_and_finds(tmp_path, name):
    """Through the processes that measure it."""
    bench_search_peers.prepare(tmp_path, 300)
    row = bench_search_peers.run_child("build", name, tmp_path)
    assert row["bytes"] > 300 * 4 * vectors.DIM
    assert bench_search_peers.run_child("load", name, tmp_path)["load_ms"] > 0
    answered = bench_search_peers.run_child("query", name, tmp_path)
    assert answered["recall"] >= 0.99
    assert 0 < answered["p50_ms"] <= answered["p90_ms"]
    assert 10 < answered["peak_mib"] < 500


def test_a_child_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)build hnswlib .* ended with status 1: .*FileNotFoundError"):
        bench_search_peers.run_child("build", "hnswlib", tmp_path)


def test_the_peak_is_that_process_own():
    """In a process of its own: in this one the peak may be that of an earlier test."""
    took = "from search.child import peak_mib; before = peak_mib(); b'1' * (64 << 20); "
    program = [sys.executable, "-c", f"{took}print(before, peak_mib())"]
    printed = subprocess.run(program, cwd=BENCH, capture_output=True, text=True, check=True).stdout
    before, after = map(float, printed.split())
    assert after - before > 40


def test_texts_are_spread_in_their_order():
    assert spread([50.0, 90.0, 52.0, 51.0], 18, 200) == [33.0, 90.0, 69.0, 51.0]
    assert spread([10.0, 50.0], 18, 200) == [10.0, 50.0]
    assert spread([95.0, 99.0, 97.0], 10, 100) == [80.0, 100.0, 90.0]
    # The third is pushed into the first two, which then make room for it.
    assert spread([0.0, 4.0, 13.0], 10, 200) == pytest.approx([-13 / 3, 17 / 3, 47 / 3])


def test_an_axis_reaches_from_power_to_power():
    axis = power_axis([0.03, 7.0], 0, 300)
    assert axis.ticks == pytest.approx((0.01, 0.1, 1, 10))
    assert axis.place(0.1) == pytest.approx(100)
    assert power_axis([10.0], 0, 1).ticks == (10, 100)


def test_the_chart_has_every_library_and_its_points():
    some = [
        {"library": library, "entries": entries, "p50_ms": 0.01 * entries * number}
        for entries in (100, 1000)
        for number, library in enumerate(LIBRARIES, start=1)
    ]
    root = ElementTree.fromstring(growth_chart("x", "Title", "ms", series(some, "p50_ms")))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(LIBRARIES) < set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 2 * len(LIBRARIES)


def test_tables_have_what_was_measured():
    row = {
        "library": "edgesim HNSW",
        "entries": 1000,
        "build_s": 1.234,
        "bytes": 2_500_000,
        "load_ms": 3.21,
        "p50_ms": 0.1234,
        "p90_ms": 0.5,
        "recall": 0.9984,
        "peak_mib": 45.6,
    }
    table = search_page.rows_table({"rows": [row]})
    assert table.splitlines()[2] == "| 1,000 | edgesim HNSW | 0.123 | 0.500 | 0.998 | 46 | 2.5 | 1.23 | 3.2 |"
    measured = {"value": 1.2345, "bound": "at most 1.5", "ours_ms": 1234.0, "others_ms": 0.56789}
    compared = {
        "opening": measured,
        "filter of 1 %": {**measured, "first_ms": 244.0},
        "recall@10": {"value": 1, "bound": "b"},
    }
    table = search_page.ratios_table({"ratios": compared})
    assert table.splitlines()[2:] == [
        "| opening | hnswlib's loading, with a search | 1.234 | at most 1.5 | 1.23 s | 0.568 ms |",
        "| filter of 1 % | the search of all | 1.234 | at most 1.5 | 1.23 s, the first 244 ms | 0.568 ms |",
        "| recall@10 | all cosines | 1.000 | b |  |  |",
    ]
    assert search_page.ratios_table({"ratios": {}}) == "Not measured yet."


def test_tables_of_sizes_and_filters():
    size = {"entries": 20_000, "graph built s": 11.83, "exact ms": 1.026, "hnsw ms": 0.5512}
    size |= {"first exact ms": 197.0, "first hnsw ms": 85.61, "recall@10": 0.9996}
    table = search_page.sizes_table({"sizes": [size]})
    assert table.splitlines()[2] == "| 20,000 | 1.03 ms | 0.551 ms | 197 ms | 85.6 ms | 11.8 s | 1.000 |"
    some = {"filter": "10 %", "first ms": 2004.0, "ms": 0.886, "recall@10": 1.0}
    table = search_page.filters_table({"filters": [some]})
    assert table.splitlines()[2] == "| 10 % | 10,000 compared | 0.886 ms | 2 s | 1.000 |"


@pytest.mark.parametrize("check", [True, False])
def test_pictures_are_checked_or_written(tmp_path, monkeypatch, capsys, check):
    rows = [
        {"library": "hnswlib", "entries": entries, "p50_ms": 0.1 * entries, "peak_mib": 40.0}
        for entries in (10, 100)
    ]
    (tmp_path / "search_peers.json").write_text(json.dumps({"rows": rows}))
    monkeypatch.setattr(doc_tables, "RESULTS", tmp_path)
    monkeypatch.setattr(doc_tables, "DOCS", tmp_path)
    assert doc_tables.draw(search_page.PICTURES, check=check) == int(check)
    written = [(tmp_path / file).exists() for file in search_page.PICTURES]
    assert written == [not check] * 2
    assert ("search-memory.svg differs from bench/results" in capsys.readouterr().err) is check
    assert doc_tables.draw(search_page.PICTURES, check=True) == int(check)


def test_every_picture_of_the_page_is_drawn():
    page = (Path(__file__).parents[2] / "docs" / "search-benchmarks.md").read_text()
    assert set(re.findall(r"\]\((.*\.svg)\)", page)) == set(search_page.PICTURES)
