"""Images that somebody means harm with: mutants of every format, and files that are two things at once."""

import io
import re
import struct
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from edgesim.errors import ImageError
from edgesim.preprocess import FORMATS, decode_image
from tests.fuzz.mutations import mutate, with_right_checksums
from tests.fuzz.seeds import image_seeds
from tests.helpers import ROOT, run_python
from tests.image_files import encode, noise

MUTANTS = 200
UNKNOWN = "image: not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)"
PICTURE = Image.fromarray(noise(24, 40))
HTML = b"<html><script>alert(1)</script></html>"


def test_there_are_seeds_of_every_format() -> None:
    assert set(image_seeds()) == set(FORMATS)


@pytest.mark.parametrize("image_format", FORMATS)
def test_mutants_are_decoded_or_refused_in_bounded_memory_and_time(image_format: str) -> None:
    # With warnings as errors: none of Pillow's may escape.
    result = run_python("-W", "error", "-m", "tests.fuzz.run_mutants", image_format, str(MUTANTS), cwd=ROOT)
    assert result.returncode == 0, result.stderr
    outcomes = result.stdout.splitlines()
    assert len(outcomes) == MUTANTS
    refused = [words for words in outcomes if words]
    assert 0 < len(refused) < MUTANTS
    assert all(re.fullmatch(r"image: [^\n]+", words) for words in refused)


def test_the_same_seed_makes_the_same_mutant_and_another_seed_another() -> None:
    (data, *_) = image_seeds()["PNG"]
    mutants = [mutate(data, seed) for seed in range(50)]
    assert mutants == [mutate(data, seed) for seed in range(50)]
    assert data not in mutants
    assert len(set(mutants)) == 50


def test_checksums_are_mended() -> None:
    data = encode(PICTURE, "PNG")
    wrong = data.replace(data[29:33], bytes(4), 1)  # of the header
    assert wrong != data
    assert with_right_checksums(wrong) == data


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("picture.jpg", content)
    return stream.getvalue()


def with_text(text: bytes) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", text.decode())
    return encode(PICTURE, "PNG", pnginfo=info)


# Two things at once, the first of which is an image: read as that image, and nothing else of it is looked at.
IMAGES_FIRST: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "archive behind a JPEG": ("JPEG", lambda image: image + zipped(b"content")),
    "page behind a GIF": ("GIF", lambda image: image + HTML),
    "PNG behind a JPEG": ("JPEG", lambda image: image + encode(Image.new("RGB", (99, 99)), "PNG")),
    "JPEG behind a BMP": ("BMP", lambda image: image + encode(Image.new("RGB", (99, 99)), "JPEG")),
    "page in a PNG": ("PNG", lambda _: with_text(HTML)),
    "page behind a TIFF": ("TIFF", lambda image: image + HTML),
    "archive behind a WebP": ("WEBP", lambda image: image + zipped(b"content")),
}


@pytest.mark.parametrize("name", IMAGES_FIRST)
def test_an_image_with_something_else_behind_or_in_it_is_that_image(name: str) -> None:
    image_format, join = IMAGES_FIRST[name]
    image = encode(PICTURE, image_format)
    both = join(image)
    assert both != image
    assert np.array_equal(decode_image(both), decode_image(image))


# The beginning decides: nothing is searched for an image, and no other decoder is asked.
OTHERS_FIRST = {
    "archive of a JPEG": (zipped(encode(PICTURE, "JPEG")), UNKNOWN),
    "page, then a PNG": (HTML + encode(PICTURE, "PNG"), UNKNOWN),
    "document, then a JPEG": (b"%PDF-1.7\n" + encode(PICTURE, "JPEG"), UNKNOWN),
    "drawing": (b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>', UNKNOWN),
    "sound in the container of WebP": (b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(28), UNKNOWN),
    "script after the first bytes of a GIF": (b"GIF89a=1;" + HTML * 9, r"image: [^\n]+"),
    "page after the first bytes of a BMP": (b"BM" + HTML * 9, r"image: [^\n]+"),
    "page after the first bytes of a JPEG": (b"\xff\xd8\xff" + HTML * 9, r"image: [^\n]+"),
    "page after the first bytes of a TIFF": (b"II*\0" + HTML * 9, r"image: [^\n]+"),
}


@pytest.mark.parametrize("name", OTHERS_FIRST)
def test_something_else_that_an_image_hides_in_is_refused(name: str) -> None:
    content, words = OTHERS_FIRST[name]
    with pytest.raises(ImageError) as caught:
        decode_image(content)
    assert re.fullmatch(re.escape(words) if words == UNKNOWN else words, str(caught.value))
