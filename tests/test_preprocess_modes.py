"""Preprocessing: every pixel mode, EXIF orientation, and files with several pictures."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgesim import preprocess
from edgesim.preprocess import decode_image
from tests.image_files import encode, noise, oriented


def decoded(data: bytes) -> np.ndarray:
    image = decode_image(data)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF"])
def test_lossless_rgb_is_exact(image_format: str) -> None:
    array = noise(19, 31)
    assert np.array_equal(decoded(encode(Image.fromarray(array), image_format)), array)


def test_lossless_webp_is_exact() -> None:
    array = noise(19, 31)
    assert np.array_equal(decoded(encode(Image.fromarray(array), "WEBP", lossless=True)), array)


@pytest.mark.parametrize(
    ("ink", "expected"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 51), (204, 204, 204)),
        # Each channel is (255 - ink) * (255 - black) / 255.
        ((51, 102, 0, 51), (163, 122, 204)),
    ],
)
def test_cmyk(ink: tuple[int, int, int, int], expected: tuple[int, int, int]) -> None:
    image = Image.new("CMYK", (16, 16), ink)
    assert np.abs(decoded(encode(image, "TIFF")).astype(int) - expected).max() <= 1
    assert np.abs(decoded(encode(image, "JPEG", quality=100)).astype(int) - expected).max() <= 3


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_by_257(image_format: str) -> None:
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    assert grey.max() == 65535
    pixels = decoded(encode(Image.fromarray(grey), image_format))
    assert np.array_equal(pixels, np.repeat(np.arange(256).reshape(16, 16, 1), 3, axis=2))


def test_16_bit_grey_rounds_to_the_nearest_level() -> None:
    grey = np.full((8, 8), 0, dtype=np.uint16)
    grey[0] = [0, 128, 129, 257, 385, 386, 65406, 65407]  # 257 k + 128 belongs to k, 257 k + 129 to k + 1
    pixels = decoded(encode(Image.fromarray(grey), "PNG"))
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 1, 1, 2, 254, 255]


def test_big_endian_16_bit_tiff() -> None:
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    little_endian = Image.fromarray(grey)
    image = Image.frombytes("I;16B", (16, 16), grey.astype(">u2").tobytes())
    data = encode(image, "TIFF")
    assert data[:2] == b"MM"
    assert np.array_equal(decoded(data), decoded(encode(little_endian, "TIFF")))


@pytest.mark.parametrize(
    ("top", "dtype", "expected"),
    [
        (255, np.int32, [0, 51, 255]),
        (65535, np.int32, [0, 51, 255]),
        (1.0, np.float32, [0, 51, 255]),
        (255.0, np.float32, [0, 51, 255]),
        (65535.0, np.float32, [0, 51, 255]),
    ],
)
def test_32_bit_grey_is_scaled_by_its_range(top: float, dtype: type, expected: list[int]) -> None:
    grey = np.zeros((8, 8), dtype=dtype)
    grey[0, :3] = [0, top / 5, top]
    assert decoded(encode(Image.fromarray(grey), "TIFF"))[0, :3, 0].tolist() == expected


def test_values_that_are_no_numbers_are_black_and_infinite_ones_extreme() -> None:
    grey = np.full((8, 8), np.nan, dtype=np.float32)
    grey[0, :2] = [np.inf, -np.inf]
    assert decoded(encode(Image.fromarray(grey), "TIFF"))[0, :3, 0].tolist() == [255, 0, 0]
    grey[0, :2] = [1.0, 0.6]
    assert decoded(encode(Image.fromarray(grey), "TIFF"))[0, :3, 0].tolist() == [255, 153, 0]


def test_8_bit_grey_and_bilevel() -> None:
    grey = noise(9, 9, channels=1)[..., 0]
    assert np.array_equal(decoded(encode(Image.fromarray(grey), "PNG")), np.stack([grey] * 3, axis=2))
    black_or_white = Image.fromarray(grey > 127)
    assert black_or_white.mode == "1"
    expected = np.where(grey > 127, 255, 0)
    assert np.array_equal(decoded(encode(black_or_white, "PNG"))[..., 1], expected)


def palette_image() -> Image.Image:
    image = Image.new("P", (9, 8), 0)
    image.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 0])
    image.putpixel((0, 0), 1)
    image.putpixel((1, 0), 2)
    return image


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette(image_format: str) -> None:
    pixels = decoded(encode(palette_image(), image_format))
    assert pixels[0, :3].tolist() == [[200, 100, 50], [0, 255, 0], [10, 20, 30]]


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_palette_with_a_transparent_entry_lies_over_white(image_format: str) -> None:
    pixels = decoded(encode(palette_image(), image_format, transparency=2))
    assert pixels[0, :3].tolist() == [[200, 100, 50], [255, 255, 255], [10, 20, 30]]


def test_palette_with_an_alpha_for_each_entry() -> None:
    pixels = decoded(encode(palette_image(), "PNG", transparency=bytes([255, 51, 0])))
    # Entry 1 at 51 / 255 = 0.2: 0.2 * (200, 100, 50) + 0.8 * 255 = (244, 224, 214).
    assert pixels[0, :3].tolist() == [[244, 224, 214], [255, 255, 255], [10, 20, 30]]


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((10, 20, 30, 255), (10, 20, 30)),
        ((200, 100, 50, 51), (244, 224, 214)),
        ((1, 2, 3, 128), (128, 128, 129)),  # (1 * 128 + 255 * 127) / 255 = 127.502
    ],
)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_alpha_lies_over_white(
    image_format: str, colour: tuple[int, int, int, int], expected: tuple[int, int, int]
) -> None:
    pixels = decoded(encode(Image.new("RGBA", (8, 8), colour), image_format))
    assert np.array_equal(pixels, np.broadcast_to(expected, (8, 8, 3)))


def test_grey_with_alpha_lies_over_white() -> None:
    pixels = decoded(encode(Image.new("LA", (8, 8), (100, 51)), "PNG"))
    assert np.array_equal(pixels, np.full((8, 8, 3), 224))  # 0.2 * 100 + 0.8 * 255


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7))])
def test_a_transparent_colour_lies_over_white(mode: str, key: Any) -> None:
    image = Image.new(mode, (8, 8), key)
    image.putpixel((0, 0), 9 if mode == "L" else (9, 9, 9))
    pixels = decoded(encode(image, "PNG", transparency=key))
    assert pixels[0, :2].tolist() == [[9, 9, 9], [255, 255, 255]]


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation(image_format: str, orientation: int) -> None:
    array = noise(10, 14)
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encode(Image.fromarray(array), image_format, exif=oriented(orientation), **options)
    assert np.array_equal(decoded(data), UPRIGHT[orientation](array))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_of_a_drafted_jpeg(orientation: int) -> None:
    quarters = np.kron(noise(2, 2, seed=3), np.ones((80, 120, 1), dtype=np.uint8))
    data = encode(Image.fromarray(quarters), "JPEG", exif=oriented(orientation))
    image = decode_image(data, min_side=40)
    upright = UPRIGHT[orientation](quarters[::4, ::4])
    assert image.size == (upright.shape[1], upright.shape[0])
    assert np.abs(np.asarray(image).astype(int) - upright).mean() < 5


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_passed_over(orientation: int) -> None:
    array = noise(10, 14)
    assert np.array_equal(decoded(encode(Image.fromarray(array), "PNG", exif=oriented(orientation))), array)


@pytest.mark.parametrize("damaged", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f"])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_picture(image_format: str, damaged: bytes) -> None:
    image = Image.fromarray(noise(10, 14))
    whole = decoded(encode(image, image_format))
    assert np.array_equal(decoded(encode(image, image_format, exif=damaged)), whole)


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_taken(image_format: str) -> None:
    frames = [Image.new("RGB", (12, 10), colour) for colour in ("red", "blue", "lime")]
    data = encode(frames[0], image_format, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    assert np.abs(decoded(data).astype(int) - (255, 0, 0)).max() <= 1


def test_of_a_multi_picture_jpeg_the_first_is_taken() -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
    image = decode_image(data, min_side=24)
    assert image.size == (32, 24)
    assert np.abs(np.asarray(image).astype(int) - (255, 0, 0)).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "I", "F"])
def test_conversion_in_strips_changes_no_pixel(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = np.arange(19 * 31, dtype=np.uint16).reshape(19, 31) * 100
    pictures = {
        "I;16": Image.fromarray(wide),
        "I": Image.fromarray(wide.astype(np.int32)),
        "F": Image.fromarray(wide[::-1].astype(np.float32)),
        "P": palette_image().resize((31, 19)),
    }
    image = pictures.get(mode) or Image.fromarray(noise(19, 31, channels=4), "RGBA").convert(mode)
    data = encode(image, "PNG", transparency=1) if mode == "P" else encode(image, "TIFF")
    whole = decoded(data)
    monkeypatch.setattr(preprocess, "_STRIP_PIXELS", 62)
    assert np.array_equal(decoded(data), whole)
