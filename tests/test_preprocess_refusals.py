"""Preprocessing: files that are refused, in which words; and damaged files."""

import errno
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from edgesim.errors import ImageError
from edgesim.preprocess import FORMATS, decode_image
from tests.image_files import encode, noise, png_of_zeros

GOLDEN = Path(__file__).parent / "golden"


def refusal(source: Path | bytes, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(source, **options)
    return str(caught.value)


UNKNOWN = "{}: not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)"


def test_the_formats_named_in_the_message_are_those_that_are_read() -> None:
    assert ", ".join(FORMATS) in UNKNOWN


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.jpg"
    assert refusal(path) == f"{path}: no such file"


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: is a folder, not an image"


@pytest.mark.parametrize(
    "content", [b"", b"This is a text file.\n" * 40, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]
)
def test_no_image_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.jpg"
    path.write_bytes(content)
    assert refusal(path) == UNKNOWN.format(path)


@pytest.mark.parametrize("image_format", ["PPM", "ICO", "TGA", "PCX", "EPS", "SGI", "DDS", "JPEG2000"])
def test_formats_off_the_list_are_refused_under_any_name(tmp_path: Path, image_format: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encode(Image.fromarray(noise(16, 16)), image_format))
    assert refusal(path) == UNKNOWN.format(path)


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "really-a.jpg"
    array = noise(16, 16)
    path.write_bytes(encode(Image.fromarray(array), "PNG"))
    assert np.array_equal(np.asarray(decode_image(path)), array)


def test_truncated_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    whole = (GOLDEN / "scene.jpg").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    pattern = r": damaged or unreadable image \(image file is truncated \(\d+ bytes not processed\)\)"
    assert re.fullmatch(re.escape(str(path)) + pattern, refusal(path))


def test_truncated_png(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    whole = encode(Image.fromarray(noise(40, 40)), "PNG")
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path) == f"{path}: damaged or unreadable image (image file is truncated)"


@pytest.mark.parametrize(
    ("raised", "detail"),
    [
        (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error"),
        (SyntaxError("not a PNG file"), "not a PNG file"),
        (struct.error("unpack requires\na buffer"), "unpack requires a buffer"),
        (IndexError(), "IndexError"),
    ],
)
def test_whatever_a_decoder_raises_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, detail: str
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    data = encode(Image.new("RGB", (8, 8)), "PNG")
    assert refusal(data, name="card.png") == f"card.png: damaged or unreadable image ({detail})"


def test_memory_exhausted_while_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    data = encode(Image.new("RGB", (8, 8)), "PNG")
    assert refusal(data, name="huge.png") == "huge.png: not enough memory to decode it"


@pytest.mark.parametrize("size", [(1, 1), (7, 8), (8, 7), (5000, 1)])
def test_too_small(size: tuple[int, int]) -> None:
    message = refusal(encode(Image.new("RGB", size), "PNG"), name="dot.png")
    assert message == f"dot.png: {size[0]}x{size[1]} pixels, too small to recognise (8x8 at least)"


def test_the_smallest_picture() -> None:
    assert decode_image(encode(Image.new("RGB", (8, 8)), "PNG")).size == (8, 8)


def test_bytes_without_a_name_are_called_image() -> None:
    assert refusal(b"nothing") == UNKNOWN.format("image")


TOO_LARGE = "{}: more than 50 megapixels, refused unread; reduce its size first"


# Pillow itself is silent about the first, warns of the second and refuses the third.
@pytest.mark.parametrize("size", [(7100, 7100), (10_000, 10_000), (20_000, 20_000)])
def test_too_large_is_refused_by_the_header(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    def decode(*_: object) -> None:
        pytest.fail("a refused image was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    header_only = png_of_zeros(*size)[:100]
    assert refusal(header_only, name="plan.png") == TOO_LARGE.format("plan.png")


def test_a_20000_by_20000_png_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(20_000, 20_000))
    script = """
import sys
from pathlib import Path
from edgesim.errors import ImageError
from edgesim.preprocess import decode_image

def peak():  # unlike ru_maxrss, it does not begin with what the process that started this one had resident
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

before = peak()
try:
    decode_image(Path(sys.argv[1]))
except ImageError as error:
    print(error)
print(peak() - before)
"""
    root = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, cwd=root
    )
    message, kilobytes = result.stdout.splitlines()
    assert message == TOO_LARGE.format(path)
    assert int(kilobytes) < 20_000  # decoded it would be 400,000
