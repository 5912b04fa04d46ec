"""`edgesim isc21`: from images to figures counted by hand, and what each wrong input is told."""

import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.isc21 import Descriptors, read_descriptors, read_predictions, write_descriptors
from tests.helpers import TinyEncoder, photo, png

Captured = pytest.CaptureFixture[str]

# Seeds of the pictures. Two queries are references again, Q00002 is made from nothing, Q00003 is said to be
# made from R5, and is another picture.
QUERIES = {"Q00000": 2, "Q00001": 4, "Q00002": 50, "Q00003": 51}
TRUTH = "query_id,reference_id\nQ00000,R2\nQ00001,R4\nQ00002,\nQ00003,R5\n"


@pytest.fixture
def here(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a bundle, images of queries, references and background, and a truth."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle.folder, "bundle")
    references = {f"R{seed}": seed for seed in range(6)}
    background = {f"T{seed}": seed for seed in range(100, 105)}
    for folder, seeds in {"queries": QUERIES, "references": references, "training": background}.items():
        Path(folder).mkdir()
        for name, seed in seeds.items():
            (Path(folder) / f"{name}.png").write_bytes(png(photo(seed)))
    Path("truth.csv").write_text(TRUTH)
    return tmp_path


@pytest.fixture
def described(here: Path, capsys: Captured) -> Path:
    """The same, with the descriptors of the images."""
    for name in ("queries", "references", "training"):
        assert main(["isc21", "describe", name, "--out", f"{name}.hdf5", "--encoder", "bundle"]) == 0
    capsys.readouterr()
    return here


def embed(*seeds: int) -> np.ndarray:
    return np.stack([TinyEncoder().embed(photo(seed)) for seed in seeds])


def test_describe(here: Path, capsys: Captured) -> None:
    assert main(["isc21", "describe", "queries", "--out", "q.hdf5", "--encoder", "bundle"]) == 0
    title = Bundle.load(Path("bundle")).title
    assert capsys.readouterr() == (f"q.hdf5: 4 images described, 0 skipped; 16 dimensions of {title}\n", "")
    written = read_descriptors(Path("q.hdf5"))
    assert written.names == tuple(QUERIES)
    np.testing.assert_allclose(written.vectors, embed(*QUERIES.values()), atol=1e-5)


def test_describe_leaves_out_what_is_no_image(here: Path, capsys: Captured) -> None:
    Path("queries/Q00001.png").write_text("text")
    assert main(["isc21", "describe", "queries", "--out", "q.hdf5", "--encoder", "bundle"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("q.hdf5: 3 images described, 1 skipped; 16 dimensions of ")
    assert err == (
        "skipped queries/Q00001.png: not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)\n"
    )
    assert read_descriptors(Path("q.hdf5")).names == ("Q00000", "Q00002", "Q00003")


@pytest.mark.parametrize(("options", "name"), [([], "copy"), (["--encoder", "similar"], "similar")])
def test_describe_with_the_built_in_encoders(
    here: Path, capsys: Captured, options: list[str], name: str
) -> None:
    from edgesim.runtime.embedder import Embedder, open_bundle

    shutil.rmtree("bundle")
    assert main(["isc21", "describe", "queries", "--out", "q.hdf5", *options]) == 0
    expected = Embedder(open_bundle(name)).embed_image(Path("queries/Q00003.png"))
    np.testing.assert_array_equal(read_descriptors(Path("q.hdf5")).vectors[3], expected)


def test_match_and_score(described: Path, capsys: Captured) -> None:
    match = ["isc21", "match", "queries.hdf5", "references.hdf5", "--out", "p.csv"]
    assert main([*match, "-k", "1"]) == 0
    assert capsys.readouterr() == ("p.csv: 4 predictions, 4 queries in 6 references\n", "")
    found = read_predictions(Path("p.csv"), QUERIES)
    similarity = embed(*QUERIES.values()) @ embed(*range(6)).T
    assert [reference for _, reference in found] == [f"R{row}" for row in similarity.argmax(axis=1)]
    np.testing.assert_allclose(list(found.values()), similarity.max(axis=1), atol=1e-5)

    # First the two that are references again, with 1.0, then the wrong ones: 2 of 3 found before any error.
    assert ("Q00003", "R5") not in found
    assert main(["isc21", "score", "p.csv", "truth.csv"]) == 0
    assert capsys.readouterr() == (
        "metric         value\n"
        "micro_ap       0.6667\n"
        "recall_at_p90  0.6667\n"
        "recall_at_1    0.6667\n"
        "\n"
        "queries      4, 3 with a match\n"
        "pairs        3\n"
        "predictions  4\n",
        "",
    )
    assert main(match) == 0
    assert capsys.readouterr().out == "p.csv: 24 predictions, 4 queries in 6 references\n"


def test_match_with_a_background(described: Path) -> None:
    match = ["isc21", "match", "queries.hdf5", "references.hdf5", "--out", "p.csv"]
    assert main([*match, "--background", "training.hdf5"]) == 0
    found = read_predictions(Path("p.csv"), QUERIES)
    queries = embed(*QUERIES.values())
    usual = np.sort(queries @ embed(*range(100, 105)).T, axis=1)[:, -3:].mean(axis=1)
    expected = queries @ embed(*range(6)).T - usual[:, None]
    for row, query in enumerate(QUERIES):
        scores = [found[query, f"R{column}"] for column in range(6)]
        np.testing.assert_allclose(scores, expected[row], atol=1e-5)


def test_score_by_hand(here: Path, capsys: Captured) -> None:
    # In order: Q00001-R4 true, Q00002-R0 false and Q00000-R2 true with the same score, Q00000-R1 false,
    # Q00003-R5 true. P(1) = 1, P(3) = 2/3, P(5) = 3/5. The first of Q00000, Q00001 and Q00003 are true.
    Path("p.csv").write_text(
        "query_id,reference_id,score\n"
        "Q00000,R2,0.5\nQ00000,R1,0.25\nQ00001,R4,0.75\nQ00002,R0,0.5\nQ00003,R5,0.125\n"
    )
    assert main(["isc21", "score", "p.csv", "truth.csv", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report.pop("metrics") == pytest.approx(
        {"micro_ap": (1 + 2 / 3 + 3 / 5) / 3, "recall_at_p90": 1 / 3, "recall_at_1": 1.0}
    )
    assert report == {"queries": 4, "queries_with_match": 3, "pairs": 3, "predictions": 5}
    assert err == ""


DESCRIBE = ["describe", "queries", "--out", "q.hdf5", "--encoder", "bundle"]
MATCH = ["match", "queries.hdf5", "references.hdf5", "--out", "p.csv"]
WRONG = [
    (["describe", "none", "--out", "q.hdf5"], 3, "none: no such file or folder"),
    (
        ["describe", "empty", "--out", "q.hdf5"],
        3,
        "empty: no images in this folder (looked for .jpg, .jpeg, .jpe, .jfif, .mpo, .png, .webp, .bmp, "
        ".tif, .tiff, .gif)",
    ),
    (["describe", "queries", "--out", "empty"], 2, "empty: is a folder; choose a file with --out"),
    (
        ["describe", "queries", "--out", "none/q.hdf5"],
        2,
        "none: no such folder; make it, or choose another file with --out",
    ),
    (
        [*DESCRIBE[:-1], "empty"],
        4,
        "empty: not a bundle, manifest.json cannot be read (No such file or directory); "
        "make one with: edgesim export",
    ),
    (
        [*DESCRIBE[:-1], "simlar"],
        4,
        "simlar: no such folder, and not one of copy, similar; make a bundle with: edgesim export",
    ),
    (
        [*DESCRIBE, "--engine", "abacus"],
        2,
        "unknown engine 'abacus'; known: litert, onnxruntime, tflite-runtime",
    ),
    ([*MATCH, "-k", "0"], 2, "-k: expected 1 at least, got 0"),
    ([*MATCH[:-1], "empty"], 2, "empty: is a folder; choose a file with --out"),
    (
        ["match", "truth.csv", "references.hdf5", "--out", "p.csv"],
        3,
        "truth.csv: expected an HDF5 file, got another or a damaged one",
    ),
    (
        ["match", "queries.hdf5", "narrow.hdf5", "--out", "p.csv"],
        3,
        "narrow.hdf5: expected 16 dimensions as in queries.hdf5, got 2; describe both with the same encoder",
    ),
    (
        [*MATCH, "--background", "narrow.hdf5"],
        3,
        "narrow.hdf5: expected 16 dimensions as in queries.hdf5, got 2; describe both with the same encoder",
    ),
    ([*MATCH, "--background", "none.hdf5"], 3, "none.hdf5: cannot be read (No such file or directory)"),
    (["score", "none.csv", "truth.csv"], 3, "none.csv: cannot be read (No such file or directory)"),
    (
        ["score", "truth.csv", "truth.csv"],
        3,
        "truth.csv, line 1: expected the header query_id,reference_id,score, got 'query_id,reference_id'",
    ),
    (
        ["score", "wrong.csv", "truth.csv"],
        3,
        "wrong.csv, line 2: expected a finite number as score, got 'high'",
    ),
    (
        ["score", "wrong.csv", "wrong.csv"],
        3,
        "wrong.csv, line 1: expected the header query_id,reference_id, got 'query_id,reference_id,score'",
    ),
]


@pytest.mark.parametrize(("arguments", "status", "message"), WRONG)
def test_wrong_input(
    described: Path, capsys: Captured, arguments: list[str], status: int, message: str
) -> None:
    Path("empty").mkdir()
    write_descriptors(Path("narrow.hdf5"), Descriptors(("R0",), np.ones((1, 2), dtype=np.float32)))
    Path("wrong.csv").write_text("query_id,reference_id,score\nQ00000,R1,high\n")
    assert main(["isc21", *arguments]) == status
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")
    assert not Path("q.hdf5").exists()
    assert not Path("p.csv").exists()


def test_two_images_of_one_name(here: Path, capsys: Captured) -> None:
    Path("queries/more").mkdir()
    shutil.copy("queries/Q00001.png", "queries/more/Q00001.jpg")
    assert main(["isc21", *DESCRIBE]) == 3
    assert capsys.readouterr() == (
        "",
        "edgesim: queries/Q00001.png and queries/more/Q00001.jpg: both are called Q00001; "
        "rename one of them\n",
    )


def test_no_image_at_all(here: Path, capsys: Captured) -> None:
    for path in Path("queries").iterdir():
        path.write_text("text")
    assert main(["isc21", *DESCRIBE]) == 3
    out, err = capsys.readouterr()
    assert (out, err.count("skipped queries/")) == ("", 4)
    assert err.endswith("\nedgesim: none of these images can be used; the reasons are above\n")
    assert not Path("q.hdf5").exists()


def test_without_h5py_it_is_said_before_the_work(
    here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesim.runtime.embedder.Embedder.embed_image", None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert main(["isc21", *DESCRIBE]) == 6
    assert capsys.readouterr() == (
        "",
        "edgesim: edgesim isc21 describe needs the package h5py, which is not installed. "
        "Run: pip install 'edgesim[isc21]'\n",
    )


def test_names_of_fixed_length_from_another_program(described: Path, capsys: Captured) -> None:
    with h5py.File("other.hdf5", "w") as file:
        file.create_dataset("vectors", data=embed(2, 4).astype(np.float32))
        file.create_dataset("image_names", data=np.array([b"Q00000", b"Q00001"]))
    assert main(["isc21", "match", "other.hdf5", "references.hdf5", "--out", "p.csv", "-k", "1"]) == 0
    assert list(read_predictions(Path("p.csv"), QUERIES)) == [("Q00000", "R2"), ("Q00001", "R4")]


@pytest.mark.parametrize("action", ["describe", "match", "score"])
def test_help_has_an_example(capsys: Captured, action: str) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["isc21", action, "--help"])
    assert f"\nexample:\n  edgesim isc21 {action} " in capsys.readouterr().out
