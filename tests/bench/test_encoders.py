"""Encoders beside others: joined with their quality, judged, drawn; and what measures them."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import harness
import numpy as np
import pytest
from bench_encoder_instructions import models
from charts.encoders import quality_chart, roofline_chart
from charts.scatter import LEFT, RIGHT, Mark, Plot, log_axis, pieces
from encoder_costs.interpreters import TfliteModel
from encoder_costs.rows import Quality, Row, faster, read_rows, smaller, verdict
from pages import encoders

from edgesim.chart_labels import Box, place_labels
from edgesim.errors import InputError
from edgesim.svg import Axis
from tests.runtime.tflite_files import Tensor, tflite_file

GOOD, EQUAL, BAD = Quality(0.9, 0.7, 0.7), Quality(0.8, 0.8, 0.8), Quality(0.1, 0.1, 0.1)


def row(name, over_copy, size, quality, engine="litert"):
    size_bytes = round(1000 * size) if size else 0
    return Row(
        name=name,
        engine=engine,
        bytes=size_bytes,
        ms=over_copy,
        over_copy=over_copy,
        size_over_copy=size,
        quality=quality,
    )


ROWS = [
    row("copy (litert)", 1.0, 1.0, EQUAL),
    row("copy (onnxruntime)", 1.0, 1.0, EQUAL, "onnxruntime"),
    row("slow and large", 2.0, 3.0, GOOD),
    row("as good, faster", 0.5, 3.0, EQUAL),
    row("better, smaller", 2.0, 0.5, GOOD, "onnxruntime"),
    row("a good hash", 2.0, None, GOOD, ""),
    row("bad, faster", 0.25, 0.5, BAD),
    row("unknown", 2.0, 2.0, None),
]


def names(rows):
    return [row.name for row in rows]


def test_a_peer_falls_if_it_is_slower_and_larger_and_no_worse():
    fallen, standing, worse = verdict(ROWS, "recall_at_1")
    assert names(fallen) == ["slow and large"]
    assert names(standing) == ["as good, faster", "better, smaller", "a good hash"]
    assert names(worse) == ["bad, faster"]
    # By another measure GOOD is below EQUAL.
    fallen, standing, worse = verdict(ROWS, "micro_ap")
    assert (names(fallen), names(standing)) == ([], ["as good, faster"])
    assert names(worse) == ["slow and large", "better, smaller", "a good hash", "bad, faster"]
    assert names(faster(ROWS)) == ["as good, faster", "bad, faster"]
    assert names(smaller(ROWS)) == ["better, smaller", "bad, faster"]


def encoder(engine, size, ms, over_copy):
    return {
        "engine": engine,
        "bytes": size,
        "dim": 8,
        "peak_mib": 40.0,
        "arithmetic": "int8",
        "macs": 50_000_000,
        "moved_bytes": 2_000_000,
        "ms": ms,
        "over_copy": over_copy,
        "whole_ms": 2 * ms,
        "whole_over_copy": over_copy / 2,
    }


def measured():
    return {
        "encoders": {
            "copy (litert)": encoder("litert", 1000, 1.0, 1.0),
            "copy (onnxruntime)": encoder("onnxruntime", 2000, 2.0, 1.0),
            "mobilenet_v2_1.0_224_quant": encoder("litert", 3000, 4.0, 4.0),
            "SSCD distilled, 288 px": {**encoder("onnxruntime", 5000, 3.0, 1.5), "arithmetic": "float32"},
            "pHash": {
                "engine": "",
                "bytes": 0,
                "dim": 64,
                "peak_mib": 50,
                "whole_ms": 3,
                "whole_over_copy": 3,
            },
        },
        "ceilings": {
            "macs_per_second": {
                "litert": {"int8": 400e9, "float32": 90e9},
                "onnxruntime": {"int8": 300e9, "float32": 100e9},
            },
            "bytes_per_second": {"memory": 4e9, "cache": 1e15},
        },
        "imports_mib": {"litert": 43.2},
    }


def detection():
    def part(recall, micro_ap, normalised):
        return {
            "parts": {
                "lookalikes": {
                    "recall_at_1": recall,
                    "micro_ap": micro_ap,
                    "normalised": {"micro_ap": normalised},
                }
            }
        }

    return {
        "encoders": {
            "copy (litert)": part(0.9, 0.8, 0.8),
            "copy (onnxruntime)": part(0.9, 0.8, 0.8),
            "mobilenet_v2_1.0_224_quant": part(0.95, 0.7, 0.7),
            "SSCD distilled, 288 px": {"parts": {"mild": {}}},
            "pHash": part(0.5, 0.5, 0.5),
        }
    }


@pytest.fixture
def results(tmp_path, monkeypatch):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "detection.json").write_text(json.dumps(detection()))
    monkeypatch.setattr(encoders, "RESULTS", tmp_path)
    return measured()


def test_results_are_joined_by_name():
    rows = {row.name: row for row in read_rows(measured(), detection())}
    assert rows["mobilenet_v2_1.0_224_quant"].quality == Quality(0.95, 0.7, 0.7)
    assert rows["SSCD distilled, 288 px"].quality is None
    assert rows["SSCD distilled, 288 px"].size_over_copy == 2.5
    # A hash by its time from a decoded picture.
    assert (rows["pHash"].ms, rows["pHash"].over_copy, rows["pHash"].size_over_copy) == (3, 3, None)
    assert [name for name, row in rows.items() if row.own] == ["copy (litert)", "copy (onnxruntime)"]


def test_the_verdict_names_who_falls_and_who_does_not(results):
    lines = encoders.verdict_text(results).splitlines()
    assert lines[0] == (
        "- By recall@1 (`copy`: 0.900) as good or better, and slower and larger: MobileNetV2 1.0/224 "
        "(4.00 times its time, 3.00 times its size). No peer of at least its quality is faster or smaller."
    )
    assert lines[1] == (
        "- By micro-AP (`copy`: 0.800) no peer is as good; the nearest is MobileNetV2 1.0/224 with 0.700."
    )
    assert lines[3:] == ["- Faster than `copy`, whatever they find: none.", "- Of a smaller file: none."]
    results["encoders"]["mobilenet_v2_1.0_224_quant"]["over_copy"] = 0.5
    assert (
        encoders.verdict_text(results)
        .splitlines()[0]
        .endswith(
            "**As good or better, and faster or smaller: MobileNetV2 1.0/224 "
            "(0.50 times its time, 3.00 times its size).**"
        )
    )
    assert encoders.verdict_table(results).splitlines()[2:] == [
        "| MobileNetV2 1.0/224 | 0.50 | 3.00 | **does not fall** | finds less | finds less |",
        "| pHash | 3.00 | - | finds less | finds less | finds less |",
    ]


def test_speed_is_a_share_of_the_ceiling_of_engine_and_arithmetic(results):
    lines = encoders.speed_table(results).splitlines()[2:]
    assert len(lines) == 4
    assert lines[0] == "| copy (litert) | litert | int8 | 50.0 | 2.00 | 25.0 | 50 | 12 % |"
    assert lines[2] == "| SSCD distilled, 288 px | onnxruntime | float32 | 50.0 | 2.00 | 25.0 | 17 | 17 % |"


def test_the_cost_table_leaves_blank_what_was_not_measured(results):
    lines = encoders.cost_table(results).splitlines()[2:]
    assert lines[0].startswith(
        "| MobileNetV2 1.0/224 | litert | 3 | 8 | 40 | 4.00 | 4.00 | 8.00 | 2.00 | 0.950"
    )
    assert lines[3] == "| pHash | - | - | 64 | 50 | - | - | 3.00 | 3.00 | 0.500 | 0.500 | 0.500 |"
    assert lines[4].endswith("| 6.00 | 0.75 |  |  |  |")


def test_instructions_stand_beside_those_of_copy_in_the_same_engine():
    counts = {
        "copy": {"litert": {"cortex-a53": 2_000_000}, "onnxruntime": {"cortex-a53": 4_000_000}},
        "sscd_distilled": {"onnxruntime": {"cortex-a53": 6_000_000}},
    }
    table = encoders.instructions_table({"cores": ["cortex-a53"], "encoders": counts})
    assert table.splitlines()[-1] == "| SSCD distilled, 224 px | onnxruntime | 6.0 (1.50) |"


def test_pictures_show_and_name_every_encoder():
    roofline = ElementTree.fromstring(roofline_chart(measured()))
    words = [element.text for element in roofline.iter("{http://www.w3.org/2000/svg}text")]
    # Two of the legend's are shapes of others; the cache's slope lies left of the plot.
    assert len(list(roofline.iter("{http://www.w3.org/2000/svg}circle"))) == 2 + 2
    assert "int8 matrix product, LiteRT: 400" in words
    assert "float32 matrix product, onnxruntime: 100" in words
    assert [word for word in words if word and "copying" in word] == ["copying in memory: 4 GB/s"]
    quality = ElementTree.fromstring(quality_chart(read_rows(measured(), detection())))
    words = [element.text for element in quality.iter("{http://www.w3.org/2000/svg}text")]
    # A hash has no file: it is in the lower plot only.
    assert (words.count("pHash"), words.count("MobileNetV2 1.0/224"), words.count("copy, LiteRT")) == (
        1,
        2,
        2,
    )


def test_names_keep_off_obstacles():
    area, place = Box(0, 0, 400, 200), (200.0, 100.0)
    (free,) = place_labels([place], ["name"], area, 5, [])
    (moved,) = place_labels([place], ["name"], area, 5, [], [free.box])
    assert not moved.box.meets(free.box)


def test_of_some_orders_that_in_which_most_names_find_room_is_taken():
    box = Box(0, 0, 400, 120)
    plot = Plot(
        box=box,
        x=Axis(low=0, high=400, start=0, end=400, ticks=()),
        y=Axis(low=0, high=120, start=120, end=0, ticks=()),
        x_title="",
        y_title="",
    )
    points = np.random.default_rng(34).uniform((20, 10), (380, 110), (9, 2)).tolist()
    marks = [Mark(x, y, f"name {number}", "circle") for number, (x, y) in enumerate(points)]
    counts = []
    for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
        ordered = sorted(marks, key=lambda mark, axis=axis, sign=sign: sign * mark[axis])
        places = [plot.place(mark.x, mark.y) for mark in ordered]
        labels = place_labels(places, [mark.name for mark in ordered], Box(4, -10, 400, 116), 8, [])
        counts.append(sum(label is not None for label in labels))
    assert counts[0] < max(counts)
    assert sum(f">{mark.name}<" in "".join(plot.marks(marks)) for mark in marks) == max(counts)


def test_a_slanted_line_is_covered_by_its_pieces():
    start, end = (10.0, 200.0), (110.0, 100.0)
    boxes = pieces(start, end)
    for share in np.linspace(0, 1, 500):
        x, y = 10 + 100 * share, 200 - 100 * share
        assert any(box.left <= x <= box.right and box.top <= y <= box.bottom for box in boxes)
    # And little else: not the corners of the box around it.
    assert not any(box.meets(Box(10, 100, 50, 140)) or box.meets(Box(70, 160, 110, 200)) for box in boxes)
    assert pieces((0, 5), (9, 5), above=20) == [Box(-2, -15, 11, 7)]


def test_logarithmic_axes_mark_1_2_and_5():
    axis = log_axis([0.06, 5.0], LEFT, RIGHT)
    assert axis.ticks == (0.05, 0.1, 0.2, 0.5, 1, 2, 5)
    assert axis.place(0.04) == pytest.approx(LEFT)
    assert axis.place(7.5) == pytest.approx(RIGHT)


def test_functions_are_called_in_turn():
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = harness.time_in_turn(functions, rounds=2, warm_up=1)
    assert "".join(calls) == "ababab"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}
    calls.clear()
    harness.time_in_turn(functions, rounds=2, warm_up=0, settle=True)
    assert "".join(calls) == "aabbaabb"


def test_ratios_are_taken_round_by_round():
    assert harness.ratio_in_turn([2, 6, 5], [1, 1, 5]) == 2


def test_a_child_reports_its_own_peak_and_not_its_parents():
    child = [sys.executable, "-m", "encoder_costs.peak_memory", "import", "json"]
    peak = float(
        subprocess.run(
            child, cwd=Path(harness.__file__).parent, capture_output=True, text=True, check=True
        ).stdout
    )
    # What ru_maxrss of the child would be at least: this process has numpy, the engines and torch.
    here = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 3 < peak < 30 < here


def test_a_tflite_model_takes_bytes_and_gives_real_numbers(tmp_path):
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[:, :] = 10, 100, 200
    shapes = [(1, 2, 2, 3), (2,), (1, 3)]
    for dtype, scale in ((np.int8, 1.0), (np.float32, None)):
        tensors = [
            Tensor(shapes[0], dtype, scale, -128),
            Tensor(shapes[1], np.int32, data=np.array([1, 2])),
            Tensor(shapes[2], dtype, scale and 2 * scale, -128),
        ]
        path = tmp_path / "mean.tflite"
        path.write_bytes(tflite_file(tensors, [("MEAN", [0, 1], 2)]))
        np.testing.assert_allclose(TfliteModel(path).run(pixels), [10, 100, 200])


def test_models_whose_instructions_are_counted(tmp_path):
    (tmp_path / "some_feat.tflite").touch()
    (tmp_path / "whole.tflite").touch()
    (tmp_path / "one.onnx").touch()
    own = ["copy", "copy", "similar", "similar"]
    found = list(models([tmp_path, tmp_path / "one.onnx"]))
    assert [model.name for model in found] == [*own, "some", "one"]
    assert [model.engines for model in found][-2:] == [("litert",), ("onnxruntime",)]
    assert {engine for model in found[:2] for engine in model.engines} == {
        "onnxruntime",
        "litert",
        "tflite-runtime",
    }
    with pytest.raises(InputError, match=r"nothing: expected a TFLite or ONNX file, or a folder of \*_feat"):
        list(models([Path("nothing")]))
