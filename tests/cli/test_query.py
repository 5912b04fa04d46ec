"""`edgesim query`: what it prints, every kind of image, and what it says about bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from tests.helpers import TinyEncoder, photo, png, run_python, write_photos, write_tiny_bundle
from tests.image_files import encode, oriented, png_of_zeros

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Path:
    """A folder with three photos in `photos`, and an index `parts` of them."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 3)
    bundle = ["--encoder", str(tiny_bundle.folder)]
    assert main(["index", "add", "parts", "photos", *bundle]) == 0
    assert main(["index", "add", "parts", "photos/0001.png", "--label", "line=3", "--label", "part=x"]) == 0
    capsys.readouterr()
    return tmp_path


def cosine(first: int, second: int) -> float:
    return float(TinyEncoder().embed(photo(first)) @ TinyEncoder().embed(photo(second)))


def test_the_table(here: Path, capsys: Captured) -> None:
    assert main(["query", "parts", "photos/0001.png", "photos/0002.png", "-k", "2"]) == 0
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["query", "rank", "similarity", "path", "labels"]
    others = {query: max((0, 1, 2), key=lambda i: (i != query) * 9 + cosine(query, i)) for query in (1, 2)}
    expected = []
    for query in (1, 2):
        for rank, best in enumerate((query, others[query]), 1):
            labels = ["line=3", "part=x"] if best == 1 else []
            similarity = f"{cosine(query, best):.4f}"
            path = f"{here}/photos/000{best}.png"
            expected.append([f"photos/000{query}.png", str(rank), similarity, path, *labels])
    assert lines[1:] == expected
    assert err == ""


def test_json_has_the_documented_form(here: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    (here / "text.jpg").write_text("no image")
    assert main(["query", "parts", "photos/0001.png", "text.jpg", "-k", "1", "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    similarity = report["queries"][0]["matches"][0].pop("similarity")
    assert similarity == pytest.approx(1.0, abs=1e-6)
    match = {
        "rank": 1,
        "path": f"{here}/photos/0001.png",
        "labels": {"line": "3", "part": "x"},
        "entry_id": 2,
    }
    error = "text.jpg: not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)"
    assert report == {
        "index": "parts",
        "encoder": "tiny-0",
        "encoder_id": tiny_bundle.encoder_id,
        "queries": [
            {"query": "photos/0001.png", "matches": [match]},
            {"query": "text.jpg", "error": error},
        ],
    }


def test_what_cannot_be_decoded_does_not_keep_the_others_from_an_answer(here: Path, capsys: Captured) -> None:
    (here / "text.jpg").write_text("no image")
    (here / "dot.png").write_bytes(png(photo(0)[:1, :1]))
    assert main(["query", "parts", "text.jpg", "none.png", "photos/0000.png", "dot.png", "-k", "1"]) == 3
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["query", "photos/0000.png"]
    assert err == (
        "edgesim: text.jpg: not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)\n"
        "edgesim: none.png: no such file\n"
        "edgesim: dot.png: 1x1 pixels, too small to recognise (8x8 at least)\n"
    )


PICTURE = photo(1)


def palette() -> bytes:
    image = Image.fromarray(PICTURE).quantize(16, dither=Image.Dither.NONE)
    return encode(image, "PNG")


def cmyk() -> bytes:
    ink = np.dstack([255 - PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    return encode(Image.fromarray(ink, "CMYK"), "TIFF")


def sideways() -> bytes:
    return encode(Image.fromarray(np.rot90(PICTURE)), "PNG", exif=oriented(6))


def opaque() -> bytes:
    return encode(Image.fromarray(np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])), "PNG")


def animated() -> bytes:
    frames = [Image.fromarray(photo(seed)) for seed in (1, 50, 51)]
    return encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


@pytest.mark.parametrize("make", [palette, cmyk, sideways, opaque, animated])
def test_the_same_picture_in_another_form_is_the_same(
    here: Path, capsys: Captured, make: Callable[[], bytes]
) -> None:
    (here / "form").write_bytes(make())
    assert main(["query", "parts", "form", "-k", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == [
        "form",
        "1",
        "1.0000",
        f"{here}/photos/0001.png",
    ]


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        # Half transparent over white, and 16 bits a pixel: what must be seen is worked out here.
        (
            Image.fromarray(np.dstack([PICTURE, np.full(PICTURE.shape[:2], 51, np.uint8)])),
            np.rint(PICTURE * 0.2 + 255 * 0.8),
        ),
        (
            Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257),
            np.repeat(PICTURE[..., :1], 3, axis=2),
        ),
    ],
    ids=["alpha", "16-bit grey"],
)
def test_transparent_and_deep_pictures(
    here: Path, capsys: Captured, image: Image.Image, seen: np.ndarray
) -> None:
    (here / "new.png").write_bytes(encode(image, "PNG"))
    assert main(["query", "parts", "new.png", "-k", "3", "--json"]) == 0
    matches = json.loads(capsys.readouterr().out)["queries"][0]["matches"]
    query = TinyEncoder().embed(seen.astype(np.uint8))
    expected = {f"{here}/photos/000{i}.png": float(query @ TinyEncoder().embed(photo(i))) for i in range(3)}
    assert {match["path"]: match["similarity"] for match in matches} == pytest.approx(expected, abs=1e-3)


def test_a_20000_by_20000_png_is_refused_in_bounded_memory(here: Path) -> None:
    (here / "huge.png").write_bytes(png_of_zeros(20_000, 20_000))
    script = (
        "from pathlib import Path; from edgesim.cli.main import main\n"
        "print(main(['query', 'parts', 'huge.png']))\n"
        # Unlike ru_maxrss, it does not begin with what the process that started this one had resident.
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    result = run_python("-c", script, cwd=here)
    table, status, peak_kib = result.stdout.splitlines()
    assert (table, status) == ("query  rank  similarity  path  labels", "3")
    assert (
        result.stderr == "edgesim: huge.png: more than 50 megapixels, refused unread; reduce its size first\n"
    )
    # The decoded picture alone would take 400 MB.
    assert int(peak_kib) < 200_000


def test_where(here: Path, capsys: Captured) -> None:
    assert main(["query", "parts", "photos/0000.png", "--where", "line=3 and not has verdict"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[3:] for line in out.splitlines()[1:]] == [
        [f"{here}/photos/0001.png", "line=3", "part=x"]
    ]
    assert err == ""
    assert main(["query", "parts", "photos/0000.png", "--where", "line=4"]) == 0
    assert capsys.readouterr() == (
        "query  rank  similarity  path  labels\n",
        "edgesim: parts: no entry satisfies --where 'line=4'\n",
    )
    assert main(["query", "parts", "photos/0000.png", "--where", "line"]) == 2
    message = "edgesim: label filter 'line': expected one of = != < <= > >= in, got the end at character 5\n"
    assert capsys.readouterr() == ("", message)


def test_k(here: Path, capsys: Captured) -> None:
    assert main(["query", "parts", "photos/0000.png", "-k", "9"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["query", "parts", "photos/0000.png", "-k", "0"]) == 2
    assert capsys.readouterr() == ("", "edgesim: k must be at least 1, got 0\n")


def test_an_empty_index(here: Path, capsys: Captured) -> None:
    assert main(["index", "remove", "parts", "photos"]) == 0
    assert main(["query", "parts", "photos/0000.png"]) == 0
    assert capsys.readouterr() == (
        "parts: 3 removed; 0 entries\nquery  rank  similarity  path  labels\n",
        "edgesim: parts: empty; add images with: edgesim index add parts PATH\n",
    )


def test_no_index(here: Path, capsys: Captured) -> None:
    assert main(["query", "none", "photos/0000.png"]) == 5
    message = "edgesim: none: no index there; make one with: edgesim index add none PATH\n"
    assert capsys.readouterr() == ("", message)


def test_a_damaged_bundle(here: Path, capsys: Captured) -> None:
    bundle = write_tiny_bundle(here / "bundle")
    model = bundle.model_path("onnx")
    model.write_bytes(model.read_bytes() + b"x")
    assert main(["query", "parts", "photos/0000.png", "--encoder", "bundle"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edgesim: bundle/model.onnx: changed or damaged (SHA-256 ")
    assert err.endswith("); copy the bundle again\n")


def test_a_file_name_that_is_not_utf_8(here: Path) -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    Path("photos", name).write_bytes(png(photo(7)))
    for arguments in (
        ["index", "add", "parts", "photos"],
        ["index", "list", "parts"],
        ["query", "parts", f"photos/{name}", "-k", "1"],
    ):
        # What a terminal in UTF-8 does.
        result = run_python("-m", "edgesim", *arguments, cwd=here, PYTHONIOENCODING="utf-8:strict")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.count("caf\\xe9.png") == arguments.count("list") + 2 * arguments.count("query")
