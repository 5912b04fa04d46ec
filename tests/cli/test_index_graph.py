"""`edgesim index rebuild`, and what commands do with the search graph of a large index."""

import json
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.runtime import index as index_module
from edgesim.runtime.index import Index
from tests.helpers import TinyEncoder, photo, run_python
from tests.runtime.index_entries import new_entries, new_entry, unit_vectors

Captured = pytest.CaptureFixture[str]


def test_a_large_index(here: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    assert index_module.EXACT_LIMIT == 10_000
    with Index.create(Path("parts"), tiny_bundle) as index:
        index.add(new_entries(unit_vectors(10_000)))
        index.add([new_entry("/photos/this one.png", TinyEncoder().embed(photo(0)))])
    # In a process of its own, where nobody listens to the log.
    query = ["-m", "edgesim", "query", here / "parts", here / "photos" / "0000.png", "-k", "1"]
    result = run_python(*query)
    assert result.stdout.splitlines()[1].endswith("  1     1.0000      /photos/this one.png")
    assert result.stderr == (
        f"{here}/parts: the search graph is missing, so 10001 entries are searched exactly; "
        f"for speed run: edgesim index rebuild {here}/parts\n"
    )
    assert main(["index", "rebuild", "parts"]) == 0
    assert capsys.readouterr() == ("parts: search graph of 10001 entries rebuilt\n", "")
    again = run_python(*query)
    assert (again.stdout, again.stderr) == (result.stdout, "")
    assert main(["index", "rebuild", "parts", "--recall", "0.9", "-k", "5", "--memory", "6.1"]) == 0
    out = capsys.readouterr().out
    with Index.open(Path("parts")) as index:
        measured = index.stats()["graph_settings"]["measured"]
    recall = (
        f"{measured:.4f} of the 5 nearest found (0.9 asked for, 500 searches among 10001 entries) with M 16, "
        "ef_construction 128, ef_search 16"
    )
    assert measured >= 0.9
    why = "the smallest that finds so much, with 5 MiB of memory"
    assert out == f"parts: search graph of 10001 entries rebuilt; {recall}: {why}\n"
    assert main(["index", "stats", "parts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3:7] == [
        "search: HNSW",
        "search graph: fresh, 5 MiB of memory",
        f"recall: {recall}",
        "labels: none",
    ]
    assert [line.split(":")[0] for line in lines[7:]] == ["entries.sqlite3", "graph.hnsw", "graph.json"]


def test_a_large_index_is_searched_before_its_graph_is_written(
    here: Path, tiny_bundle: Bundle, capsys: Captured
) -> None:
    with Index.create(Path("parts"), tiny_bundle) as index:
        index.add(new_entries(unit_vectors(10_001)))
        index.refresh_graph()
    before = Path("parts/graph.hnsw").stat().st_mtime_ns
    assert main(["index", "add", "parts", "photos"]) == 0
    assert main(["index", "remove", "parts", "/photos/00000.png"]) == 0
    capsys.readouterr()
    assert Path("parts/graph.hnsw").stat().st_mtime_ns == before
    assert main(["query", "parts", "photos/0000.png", "-k", "1"]) == 0
    out, err = capsys.readouterr()
    assert (out.split()[-2:], err) == (["1.0000", f"{here}/photos/0000.png"], "")
    assert main(["index", "stats", "parts"]) == 0
    assert "\nsearch graph: behind by 3 entries that came, 5 MiB of memory\n" in capsys.readouterr().out
    rebuild = ["index", "rebuild", "parts", "--recall", "0.5", "--profile", "pi-4b", "--json"]
    assert main(rebuild) == 0
    report = json.loads(capsys.readouterr().out)
    kept = report.pop("graph_settings")
    assert report == {"index": "parts", "entries": 10_003, "rebuilt": True}
    # The board's budget, less the peak of a query.
    assert (kept["m"], kept["memory_limit"]) == (16, (250 - 70) * 2**20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--memory", "50"], "--memory: for which recall? Name it too, as with --recall 0.99"),
        (["--profile", "pi-5"], "--profile: for which recall? Name it too, as with --recall 0.99"),
        (["--recall", "0.9", "--memory", "0"], "--memory: expected more than 0 MiB for the graph, got 0"),
        (["--recall", "0.9", "--memory", "nan"], "--memory: expected more than 0 MiB for the graph, got nan"),
    ],
)
def test_memory_that_cannot_be_allowed(options: list[str], message: str, capsys: Captured) -> None:
    assert main(["index", "rebuild", "parts", *options]) == 2
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")


def test_rebuild_of_a_small_index(parts: Path, capsys: Captured) -> None:
    assert main(["index", "rebuild", "parts"]) == 0
    assert capsys.readouterr() == ("parts: 3 entries are searched exactly and need no search graph\n", "")
