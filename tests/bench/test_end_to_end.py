"""The end-to-end benchmark: its queries, what it reads from programs, and the table."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from bench_end_to_end import answers, merged, packages_mib, programs, recall
from end_to_end import queries
from end_to_end.queries import make_queries
from heldout_split import by_hash
from pages.end_to_end import edits_table, end_to_end_table
from PIL import Image

from edgesim.errors import InputError


def test_queries_are_edited_copies_of_photos_chosen_by_hash(tmp_path, monkeypatch):
    monkeypatch.setattr(queries, "CANVASES", 1)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(25):
        Image.new("RGB", (40, 30), (10 * number, 0, 0)).save(folder / f"{number}.jpg")
    make_queries(folder, tmp_path / "out", 22)
    truth = json.loads((tmp_path / "out" / "truth.json").read_text())
    assert [of["photo"] for of in truth.values()] == by_hash(p.name for p in folder.iterdir())[:22]
    # 12 mild edits and 8 hard ones take turns.
    assert [of["kind"] for of in truth.values()] == ["mild"] * 12 + ["hard"] * 8 + ["mild"] * 2
    assert truth["0001.jpg"]["edit"] == truth["0021.jpg"]["edit"] == "rotation"
    with Image.open(tmp_path / "out" / "queries" / "0008.jpg") as copy:
        grey = np.asarray(copy)
    assert truth["0008.jpg"]["edit"] == "grey"
    assert np.ptp(grey, axis=2).max() <= 2
    with pytest.raises(InputError, match="25 files"):
        make_queries(folder, tmp_path / "more", 26)


def test_answers_of_scripts_and_of_the_command_line():
    printed = {"queries": [{"query": "/q/0.jpg", "matches": [{"path": "/p/a.jpg"}, {"path": "/p/b.jpg"}]}]}
    assert answers(json.dumps(printed)) == answers('{"0.jpg": "a.jpg"}') == {"0.jpg": "a.jpg"}


def test_recall_counts_missing_answers_as_wrong():
    truth = {
        "0": {"photo": "a", "edit": "crop", "kind": "mild"},
        "1": {"photo": "b", "edit": "crop", "kind": "mild"},
        "2": {"photo": "c", "edit": "jpeg 10", "kind": "hard"},
    }
    found = recall({"0": "a", "1": "a", "3": "c"}, truth)
    assert found == {"all": 1 / 3, "mild": 0.5, "crop": 0.5, "hard": 0.0, "jpeg 10": 0.0}


def test_programs_are_called_in_their_environments():
    args = argparse.Namespace(
        edgesim="/own/bin/python", plain="/p/python", models=[Path("m_feat.tflite")], imagededup=None
    )
    first, second, third = programs(args)
    assert first.index == ["/own/bin/edgesim", "index", "add"]
    assert (second.python, second.index[0]) == ("/own/bin/python", "/own/bin/python")
    assert third.name == "m, faiss"
    assert third.query[2:] == ["m_feat.tflite", "query"]


def test_what_is_measured_again_replaces_the_same_row():
    row = {"program": "x", "cores": 1}
    assert merged([row, {**row, "cores": 2}], [{**row, "new": True}]) == [
        {**row, "cores": 2},
        {**row, "new": True},
    ]


def test_what_every_environment_has_is_not_counted(tmp_path):
    packages = tmp_path / "site-packages"
    for name, size in (("pip", 5), ("pip-24.0.dist-info", 5), ("numpy", 2), ("pipelines", 1)):
        (packages / name).mkdir(parents=True)
        (packages / name / "file").write_bytes(bytes(size * 2**20))
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {packages}\n")
    python.chmod(0o755)
    assert packages_mib(str(python)) == 3.0


def test_a_program_without_weights_has_no_quality():
    def row(cores, recall):
        figures = {"seconds": 100.4, "cpu_seconds": 90.04, "photos_per_second": 99.6, "peak_mib": 75.2}
        return {
            "program": "x",
            "cores": cores,
            "index": figures,
            "query": {**figures, "seconds": 4.56},
            "installed_mib": 180.4,
            "store_mib": 6.04,
            "recall_at_1": recall,
        }

    table = end_to_end_table({"programs": [row(2, None), row(1, {"mild": 0.99, "hard": 0.5})]})
    assert table.splitlines()[2:] == [
        "| x | 1 | 100 | 90 | 100 | 75 | 4.6 | 90.0 | 75 | 180 | 6.0 | 0.990 | 0.500 |",
        "| x | 2 | 100 | 90 | 100 | 75 | 4.6 | 90.0 | 75 | 180 | 6.0 | - | - |",
    ]


def test_recall_by_edit_leaves_out_what_was_not_judged():
    recall = {"all": 0.7, "mild": 0.9, "crop": 0.9, "hard": 0.5, "jpeg 10": 0.5}
    rows = [{"program": "x", "recall_at_1": recall}, {"program": "y", "recall_at_1": None}]
    assert edits_table({"programs": rows}).splitlines() == [
        "| edit | x |",
        "| --- | --- |",
        "| crop | 0.90 |",
        "| jpeg 10 | 0.50 |",
    ]
