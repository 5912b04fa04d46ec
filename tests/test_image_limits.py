"""What decoding an image may take: as much memory as is foreseen, and what would take more is refused."""

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesim import image_limits
from edgesim.errors import ImageError
from edgesim.image_structure import count_scans, count_tiff_parts
from edgesim.preprocess import load_pixels
from tests.fuzz.mutations import with_right_checksums
from tests.helpers import ROOT, run_python
from tests.image_files import bmp_of_runs, encode, oriented, png_of_zeros

LARGE, SMALL = (2400, 1600), (24, 16)
MEBIBYTE = 1 << 20


def bmp_in_runs(size: tuple[int, int]) -> bytes:
    width, height = size
    runs = (bytes([8, 1]) * (width // 8) + b"\0\0") * height + b"\0\1"
    return bmp_of_runs(size, runs, bytes(1024))


def plain(mode: str, image_format: str, **options: object) -> Callable[[tuple[int, int]], bytes]:
    return lambda size: encode(Image.new(mode, size), image_format, **options)


# Of each way through the decoders that keeps something beside the picture.
FILES: dict[str, Callable[[tuple[int, int]], bytes]] = {
    "grey": plain("L", "PNG"),
    "16-bit grey": plain("I;16", "PNG"),
    "transparent": plain("RGBA", "PNG"),
    "transparent grey": plain("LA", "PNG"),
    "transparent palette": lambda size: encode(Image.new("P", size), "GIF", transparency=0),
    "32-bit TIFF": plain("F", "TIFF", compression="tiff_lzw"),
    "CMYK TIFF": plain("CMYK", "TIFF", compression="tiff_lzw"),
    "TIFF of one strip": lambda size: encode(
        Image.new("RGB", size), "TIFF", compression="tiff_deflate", tiffinfo={278: size[1]}
    ),
    "turned TIFF": plain("RGB", "TIFF", compression="tiff_lzw", exif=oriented(6)),
    "WebP": plain("RGB", "WEBP", lossless=True),
    "BMP in runs": bmp_in_runs,
    "progressive JPEG": plain("RGB", "JPEG", progressive=True, subsampling=0),
    "progressive JPEG of fewer colours": plain("RGB", "JPEG", progressive=True, subsampling=2),
}

# Each in a process of its own that is forked when everything is imported.
PEAKS = """
import os, sys
from pathlib import Path
from edgesim.preprocess import load_pixels

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

for large in sorted(Path(sys.argv[1]).glob("large/*")):
    if os.fork():
        os.wait()
        continue
    load_pixels((large.parents[1] / "small" / large.name).read_bytes(), 32)
    content = large.read_bytes()
    before = peak()
    load_pixels(content, 32)
    print(large.name, peak() - before, sep=":", flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, in two sizes."""
    made = tmp_path_factory.mktemp("files")
    for size, part in ((SMALL, "small"), (LARGE, "large")):
        (made / part).mkdir()
        for name, make in FILES.items():
            (made / part / name).write_bytes(make(size))
    return made


@pytest.fixture(scope="module")
def peaks(folder: Path) -> dict[str, int]:
    """By how many bytes decoding each large file raises the peak of a process."""
    result = run_python("-c", PEAKS, folder, cwd=ROOT, OPENBLAS_NUM_THREADS="1")
    return {name: int(size) * 1024 for name, size in (line.split(":") for line in result.stdout.splitlines())}


def refusal(data: bytes, size: int = 32) -> str:
    with pytest.raises(ImageError) as caught:
        load_pixels(data, size)
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_decoder_takes_the_memory_that_is_foreseen(
    name: str, folder: Path, peaks: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_limits, "MAX_BYTES", 0)
    words = refusal((folder / "large" / name).read_bytes())
    found = re.search(r"take (\d+) MB of memory to decode", words)
    assert found
    foreseen = int(found[1]) * 1_000_000
    assert foreseen / 2 - 4 * MEBIBYTE < peaks[name] < foreseen + 5 * MEBIBYTE


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("grey", 5 * 400 * 304),
        ("transparent", 8 * 400 * 304),
        ("WebP", 16 * 400 * 304),
        # Six bytes of coefficients a pixel, and four of a picture of a quarter of the size.
        ("progressive JPEG", 6 * 400 * 304 + 4 * 100 * 76),
    ],
)
def test_what_takes_more_than_is_promised_is_refused(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_limits, "MAX_BYTES", most)
    assert load_pixels(FILES[name]((400, 304)), 32).shape == (32, 32, 3)
    words = refusal(FILES[name]((400, 320)))
    assert re.fullmatch(
        r"image: 400x320 pixels of this (PNG|WEBP|JPEG) take \d MB of memory to decode, "
        r"more than \d; reduce its size first",
        words,
    )


@pytest.mark.parametrize("size", [(8, 6_000_000), (6_000_000, 8)])
def test_a_picture_without_height_or_width_is_refused_as_resizing_it_takes_too_much(
    size: tuple[int, int],
) -> None:
    square = png_of_zeros(8, 8)
    header = square[:16] + struct.pack(">II", *size) + square[24:]
    assert refusal(with_right_checksums(header)).startswith(
        f"image: {size[0]}x{size[1]} pixels of this PNG take "
    )


def test_a_picture_too_large_to_be_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    upright, turned = (encode(Image.new("RGB", (400, 300)), "PNG", exif=oriented(n)) for n in (1, 6))
    monkeypatch.setattr(image_limits, "MAX_BYTES", 6 * 400 * 300)
    assert load_pixels(upright, 32).shape == (32, 32, 3)
    assert refusal(turned).startswith("image: 400x300 pixels of this PNG take 0 MB of memory to decode")


# JPEG: scans.

SCAN = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
FRAME = b"\xff\xc2\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0"


@pytest.mark.parametrize(
    ("content", "scans"),
    [
        (b"\xff\xd8" + FRAME + SCAN + b"pixels\xff\xd9", 1),
        (b"\xff\xd8" + FRAME + SCAN + b"pixels" + SCAN + b"\xff\xd9", 2),
        # What looks like a scan among the pixels, in a comment, or behind the end.
        (b"\xff\xd8\xff\xfe\0\x0c" + SCAN + FRAME + SCAN + b"\xff\0\xda\xff\xd0\xda\xff\xd9\0\2" + SCAN, 1),
        # The end, in a comment.
        (b"\xff\xd8" + FRAME + SCAN + b"\xff\xfe\0\4\xff\xd9" + SCAN + b"\xff\xd9", 2),
        # Rubbish and fill bytes, which libjpeg skips.
        (b"\xff\xd8rubbish\xff" + FRAME + SCAN + b"rubbish\xff\xff" + SCAN, 2),
        # Not progressive: one scan for all, or one each.
        (b"\xff\xd8" + FRAME.replace(b"\xc2", b"\xc0") + SCAN + b"pixels" + SCAN, 1),
        (b"\xff\xd8", 0),
    ],
)
def test_scans_are_counted_as_a_decoder_meets_them(content: bytes, scans: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as stream:
        stream.seek(3)
        assert count_scans(stream, components=1) == scans
        assert stream.tell() == 3


def test_a_scan_for_each_colour_is_not_all_in_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\xd8" + FRAME.replace(b"\xc2", b"\xc0") + 3 * SCAN + b"\xff\xd9")
    with (tmp_path / "file").open("rb") as stream:
        assert count_scans(stream, components=3) == 3


def test_scans_without_end_are_refused() -> None:
    whole = encode(Image.new("L", (64, 64)), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    repeated = whole[:-2] + image_limits.MAX_SCANS * last + b"\xff\xd9"
    assert refusal(repeated) == "image: more than 100 scans, refused unread; save it anew first"
    assert load_pixels(whole[:-2] + 50 * last + b"\xff\xd9", 32).shape == (32, 32, 3)


# TIFF: strips and tiles.


def tiff(entries: list[tuple[int, int, int]], content: bytes, big: bool = False) -> bytes:
    """A little-endian TIFF file of 64x64 grey pixels; entries have 32 bits, `content` lies at its byte 16."""
    common = [(256, 1, 64), (257, 1, 64), (258, 1, 8), (262, 1, 1), (277, 1, 1)]
    entries, start = sorted([*common, *entries]), 16 + len(content)
    if big:
        head = b"II+\0\x08\0\0\0" + struct.pack("<Q", start)
        directory = struct.pack("<Q", len(entries)) + b"".join(
            struct.pack("<HHQQ", tag, 4, *rest) for tag, *rest in entries
        )
    else:
        head = b"II*\0" + struct.pack("<I", start) + bytes(8)
        directory = struct.pack("<H", len(entries)) + b"".join(
            struct.pack("<HHII", tag, 4, *rest) for tag, *rest in entries
        )
    return head + content + directory + bytes(8)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tag", [273, 279, 324, 325])
def test_strips_without_end_are_refused(tag: int, big: bool, tmp_path: Path) -> None:
    for count, refused in ((image_limits.MAX_PARTS + 1, True), (image_limits.MAX_PARTS, False)):
        data = tiff([(tag, count, 16)], b"", big)
        (tmp_path / "file").write_bytes(data)
        with (tmp_path / "file").open("rb") as stream:
            assert count_tiff_parts(stream) == count
        assert ("image: more than 200000 strips or tiles, refused unread" in refusal(data)) is refused


def test_strips_are_counted_though_the_directory_is_said_to_go_on() -> None:
    data = bytearray(tiff([(273, image_limits.MAX_PARTS + 1, 16)], b""))
    data[16:18] = b"\xff\xff"  # entries, of which Pillow takes those that are there
    assert "more than 200000 strips or tiles" in refusal(bytes(data))


def test_a_tile_much_larger_than_the_picture_is_refused() -> None:
    def in_tile(side: int) -> bytes:
        content = zlib.compress(bytes(min(side, 1024) ** 2))
        tile = [(322, 1, side), (323, 1, side), (324, 1, 16), (325, 1, len(content))]
        return tiff([(259, 1, 8), *tile], content)

    assert np.array_equal(load_pixels(in_tile(1024), 32), np.zeros((32, 32, 3)))
    assert refusal(in_tile(30_000)).startswith("image: 64x64 pixels of this TIFF take 3600 MB of memory")


@pytest.mark.parametrize("length", range(0, 40, 3))
def test_a_directory_that_is_cut_off_has_no_parts(length: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(tiff([(273, 5, 16)], b"")[:length])
    with (tmp_path / "file").open("rb") as stream:
        assert count_tiff_parts(stream) == 0
