"""The benchmarks of decoding: the photos they make, what they compare, and the tables of it."""

import io
from types import SimpleNamespace

import bench_decode
import bench_reduced_decode
import numpy as np
import pytest
from camera_photos import enlarge, jpeg
from pages import image_decoding
from PIL import Image

WIDE = Image.new("RGB", (300, 100), (90, 120, 150))
MACHINE = {
    "cpu": "C",
    "features": ["f"],
    "cores": 1,
    "memory_mb": 2,
    "os": "O",
    "python": "3",
    "packages": {},
    "date": "today",
}


def test_a_photo_keeps_its_shape_and_gets_grain():
    big = enlarge(WIDE, 1.2)
    assert big.size == (1897, 632)
    pixels = np.asarray(big).astype(float)
    assert np.abs(pixels.mean(axis=(0, 1)) - (90, 120, 150)).max() < 0.1
    assert pixels.std(axis=(0, 1)) == pytest.approx([8, 8, 8], abs=0.1)
    assert np.array_equal(pixels, np.asarray(enlarge(WIDE, 1.2)))


def test_files_are_as_cameras_write_them():
    content = jpeg(enlarge(WIDE, 0.3))
    with Image.open(io.BytesIO(content)) as image:
        # Sampling factors of brightness and of the two colours.
        assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)]
    # Grain alone makes 2 bits a pixel.
    assert 1.5 < 8 * len(content) / 0.3e6 < 3


def test_a_ratio_is_that_within_a_round(monkeypatch, tmp_path):
    now = iter([0.0, 1.0, 1.0, 3.0, 10.0, 14.0, 20.0, 22.0, 30.0, 32.0, 40.0, 48.0])
    monkeypatch.setattr(bench_decode, "WARM_UP", 0)
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    tasks = {bench_decode.PILLOW: lambda path: None, "other": lambda path: None}
    # 1, 4 and 2 seconds; the other 2, 2 and 8.
    assert bench_decode.measure([tmp_path], tasks, 3) == {
        bench_decode.PILLOW: {"ms": 2000.0, "ratio": 1.0},
        "other": {"ms": 2000.0, "ratio": 2.0},
    }


class ByColour:
    """An encoder whose embedding is the mean colour, centred and normalised."""

    def __init__(self, input_size=1):
        self.bundle = SimpleNamespace(spec=SimpleNamespace(input_size=input_size))

    def embed_pixels(self, pixels):
        means = pixels.mean(axis=(1, 2)) - 100
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


def colours(*rows):
    return np.array(rows, dtype=np.uint8)[:, None, None, :]


def test_pixels_by_encoder_and_the_way_of_decoding():
    encoders = {"small": ByColour(32), "large": ByColour(64)}
    of = bench_reduced_decode.versions([jpeg(enlarge(WIDE, 0.3))], encoders, bench_reduced_decode.WAYS)
    for name, size in (("small", 32), ("large", 64)):
        assert {way: pixels.shape for way, pixels in of[name].items()} == dict.fromkeys(
            ("whole", "saved again", "4", "2", "1"), (1, size, size, 3)
        )
    # 949 x 316 pixels: for 32 at 1/2, 1/4 and 1/8 of that; for 64 at 1, 1/2 and 1/4.
    small, large = of["small"], of["large"]
    assert not np.array_equal(small["4"], small["2"])
    assert not np.array_equal(small["2"], small["1"])
    assert np.array_equal(large["4"], large["whole"])
    assert not np.array_equal(large["2"], large["whole"])
    two = bench_reduced_decode.versions([jpeg(enlarge(WIDE, 0.3))], encoders, bench_reduced_decode.BOTH)
    for name, pixels in two.items():
        assert set(pixels) == {"whole", "2"}
        assert all(np.array_equal(image, of[name][way]) for way, image in pixels.items())


def test_lookups_count_hits_and_other_answers():
    references = {"whole": colours((200, 100, 100), (100, 200, 100))}
    references["2"] = colours((200, 100, 100), (100, 200, 199))
    queries = dict.fromkeys(("whole", "2"), colours((200, 100, 110), (100, 200, 110)))
    others = colours((100, 200, 140))
    found = bench_reduced_decode.lookups(references, queries, others, ByColour())
    assert [(row["index"], row["query"], row["recall_at_1"], row["other_answer"]) for row in found] == [
        ("whole", "whole", 1.0, 0),
        ("whole", "2", 1.0, 0),
        ("2", "whole", 0.5, 1),
        ("2", "2", 0.5, 1),
    ]


def test_changes_are_measured_against_the_whole_size():
    whole = colours((200, 100, 100), (100, 200, 100))
    pixels = dict.fromkeys(("whole", "4", "2", "saved again"), whole)
    pixels["1"] = colours((200, 100, 100), (200, 200, 100))
    rows = bench_reduced_decode.changes({"colour": pixels}, {"colour": ByColour()})
    *same, changed, again = [row["encoders"]["colour"] for row in rows]
    assert [of["photos_changed"] for of in (*same, again)] == [0, 0, 0]
    assert changed == pytest.approx(
        {
            "photos_changed": 1,
            "mean_levels": 100 / 6,
            "mean_cosine": (1 + 0.5**0.5) / 2,
            "lowest_cosine": 0.5**0.5,
        }
    )


def test_the_table_of_changes():
    copy = {"photos_changed": 9, "mean_levels": 0.604, "mean_cosine": 0.99824, "lowest_cosine": 0.9951}
    encoders = {"copy": copy, "similar": {**copy, "photos_changed": 7}}
    group = {"photos": "sample photos", "count": 10, "ways": [{"way": "1", "encoders": encoders}]}
    lines = image_decoding.changes_table({"changes": [group]}).splitlines()
    assert lines[0].count("mean, lowest cosine") == 2
    assert lines[2].startswith("| sample photos, 10 | reduced, at least 1 time |")
    assert lines[2].endswith("| 9, 0.60 | 0.9982, 0.9951 | 7, 0.60 | 0.9982, 0.9951 |")


def test_the_table_of_costs():
    row = {"megapixels": 12.0, "mean_bytes": 3_400_000, "tasks": {"query": {"ms": 25.04, "ratio": 0.456}}}
    result = {"machine": MACHINE, "engine": "e", "photos": 8, "rounds": 3, "entries": 10_000, "rows": [row]}
    lines = image_decoding.cost_table(result).splitlines()
    assert lines[0] == "| in one process | 12 MP, ms (ratio) |"
    assert lines[2] == "| query | 25.0 (0.46) |"
    assert "8 photos of 3.40 MB on average, 3 rounds in turn, 10,000 entries" in lines[-1]


def test_the_table_of_lookups():
    row = {"index": "whole", "query": "2", "recall_at_1": 0.8125, "other_answer": 3}
    encoders = {"copy": [row], "similar": [{**row, "other_answer": 4}]}
    counts = {"references": 500, "others": 9000, "queries_reduced": {"copy": 409, "similar": 401}}
    lines = image_decoding.lookups_table({"lookups": {**counts, "encoders": encoders}}).splitlines()
    assert lines[2:] == [
        "| whole | reduced | 0.812 | 3 | 0.812 | 4 |",
        "",
        "500 photos, 9,000 other images; large enough to be reduced are of the 500 copies 409 for `copy` and "
        "401 for `similar`.",
    ]
