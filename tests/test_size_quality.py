"""Points of size and quality: their Pareto front against the definition, and evaluations read from disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgesim.errors import InputError
from edgesim.size_quality import Point, in_order, pareto_front, read_points


def point(model_bytes: int, precision_at_1: float, encoder: str = "a", engine: str = "e") -> Point:
    return Point(encoder=encoder, engine=engine, model_bytes=model_bytes, precision_at_1=precision_at_1)


def unbeaten(points: list[Point]) -> set[Point]:
    """The front by its definition: every point against every other."""
    front = set()
    for one in points:
        beaten = False
        for other in points:
            no_worse = other.model_bytes <= one.model_bytes and other.precision_at_1 >= one.precision_at_1
            differs = (other.model_bytes, other.precision_at_1) != (one.model_bytes, one.precision_at_1)
            beaten = beaten or (no_worse and differs)
        if not beaten:
            front.add(one)
    return front


@pytest.mark.parametrize("seed", range(20))
def test_pareto_front_is_what_no_other_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few values, so that many points share one or both of them.
    points = [
        point(int(size), float(tenths) / 10, f"encoder {number}")
        for number, (size, tenths) in enumerate(rng.integers(1, 10, (25, 2)))
    ]
    front = pareto_front(points)
    assert set(front) == unbeaten(points)
    assert len(front) == len(set(front))
    sizes = [p.model_bytes for p in front]
    assert sizes == sorted(sizes)


def test_order_and_repetitions() -> None:
    small, better, worse, other_engine = (
        point(1, 0.1),
        point(2, 0.9),
        point(2, 0.8),
        point(2, 0.8, engine="f"),
    )
    points = [other_engine, worse, better, small, worse]
    assert in_order(points) == [small, better, worse, other_engine]


def write(file: Path, **changes: object) -> Path:
    values: dict[str, object] = {"encoder": "a", "engine": "e", "model_bytes": 5, "dataset": "parts"}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**values, "images": 24, "metrics": {"precision_at_1": 0.5}, **changes}))
    return file


def read(*paths: str, dataset: str = "parts", replaced: str | None = None) -> list[Point]:
    return read_points(
        [Path(path) for path in paths],
        "evaluation.json",
        dataset=dataset,
        images=24,
        replaced=Path(replaced) if replaced else None,
    )


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_folders_are_searched_at_any_depth_and_others_images_passed_over() -> None:
    write(Path("all/evaluation.json"), encoder="top")
    write(Path("all/a/b/c/evaluation.json"), encoder="deep")
    write(Path("all/a/evaluation.json"), encoder="elsewhere", dataset="cifar10")
    write(Path("all/b/evaluation.json"), encoder="fewer", images=23)
    write(Path("all/b/renamed.json"), encoder="renamed")
    assert [p.encoder for p in read("all")] == ["deep", "top"]
    assert [p.encoder for p in read("all/b/renamed.json", "all/a")] == ["renamed", "deep"]
    assert read("all/b") == []


def test_a_data_sets_folder_may_be_written_in_several_ways() -> None:
    file = str(write(Path("x.json"), dataset="./sets/../parts/"))
    assert read(file) == read(file, dataset=str(Path.cwd() / "parts")) == [point(5, 0.5)]


def test_the_file_to_be_replaced_is_passed_over_in_folders_only() -> None:
    write(Path("all/this/evaluation.json"), encoder="before")
    write(Path("all/that/evaluation.json"), encoder="that")
    assert [p.encoder for p in read("all", replaced="all/../all/this/evaluation.json")] == ["that"]
    file = "all/this/evaluation.json"
    assert [p.encoder for p in read(file, replaced=file)] == ["before"]


@pytest.mark.parametrize(
    ("changes", "measured"),
    [({"dataset": "cifar10"}, "24 images of cifar10"), ({"images": 6}, "6 images of parts")],
)
def test_a_named_file_of_other_images(changes: dict[str, object], measured: str) -> None:
    write(Path("x.json"), **changes)
    with pytest.raises(InputError) as error:
        read("x.json")
    assert str(error.value) == (
        f"x.json: measured on {measured}, this evaluation on 24 of parts; "
        "compare evaluations of the same images"
    )


def test_a_path_that_does_not_exist() -> None:
    with pytest.raises(InputError) as error:
        read("none")
    assert str(error.value) == "none: no such file or folder to compare with"


DAMAGED: list[dict[str, object]] = [
    {"encoder": 5},
    {"engine": None},
    {"model_bytes": 0},
    {"model_bytes": 1.5},
    {"metrics": {}},
    {"metrics": {"precision_at_1": 1.01}},
    {"metrics": {"precision_at_1": float("nan")}},
    {"metrics": {"precision_at_1": "1"}},
    {"images": None},
]


@pytest.mark.parametrize("changes", DAMAGED)
def test_a_file_with_values_that_no_evaluation_has(changes: dict[str, object]) -> None:
    write(Path("all/evaluation.json"), **changes)
    for path in ("all", "all/evaluation.json"):
        with pytest.raises(InputError) as error:
            read(path)
        assert str(error.value) == (
            "all/evaluation.json: not an evaluation that edgesim evaluate --out wrote; "
            "evaluate again, or leave it out"
        )


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'"text"'])
def test_a_file_that_is_something_else(content: bytes) -> None:
    Path("x.json").write_bytes(content)
    with pytest.raises(InputError, match=r"^x\.json: not an evaluation"):
        read("x.json")
