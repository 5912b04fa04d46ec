"""What decoding an image may cost: a file that would take more is refused by its header.

Pillow decodes whatever fits its formats: 38 bytes of WebP can stand for 50 megapixels, for which it takes
760 MiB. How many bytes each decoder holds at once stands here, and tests/test_image_limits.py measures it.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from PIL import Image

from edgesim.errors import ImageError
from edgesim.image_structure import count_scans, count_tiff_parts

# Whatever their format. 50 megapixels are 200 MB at the 4 bytes that Pillow spends on an RGB pixel.
MAX_PIXELS = 50_000_000
# Of memory while a picture is decoded and made smaller: what a device with 512 MB can spare, and what
# 50 megapixels of grey take with their copy in RGB. Our choice.
MAX_BYTES = 250_000_000
# Below this there is no picture to recognise.
MIN_SIDE = 8
# A few bytes can be a scan, for which libjpeg passes over all pixels once more. The progressive files that it
# writes have 10. Our choice.
MAX_SCANS = 100
# Each strip or tile of a TIFF costs Pillow some 250 bytes when it opens the file. 50 megapixels in tiles of
# 16x16 are 195,313.
MAX_PARTS = 200_000

# Bytes that Pillow keeps of a pixel, by mode; 4 of all others.
_HELD = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
# libwebp's two canvases, and the copy of one that Pillow makes its picture of.
_WEBP_CANVASES = 12
_BMP_RUNS = 2
_BITS, _ORIENTATION, _ROWS, _TILE_WIDTH, _TILE_LENGTH = 258, 274, 278, 322, 323


def check_size(size: tuple[int, int], name: str) -> None:
    """Raise `ImageError` if a picture of this width and height is too large or too small."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: more than {MAX_PIXELS // 1_000_000} megapixels, refused unread; reduce its size first"
        )
    if min(size) < MIN_SIDE:
        raise ImageError(
            f"{name}: {width}x{height} pixels, too small to recognise ({MIN_SIDE}x{MIN_SIDE} at least)"
        )


def check_parts(stream: BinaryIO, name: str) -> None:
    """Raise `ImageError` if a TIFF file lists more strips or tiles than Pillow can be asked to."""
    if count_tiff_parts(stream) > MAX_PARTS:
        raise ImageError(f"{name}: more than {MAX_PARTS} strips or tiles, refused unread; save it anew first")


def check_cost(image: Image.Image, size: tuple[int, int], min_side: int, stream: BinaryIO, name: str) -> None:
    """Raise `ImageError` if a picture would take too much memory or time to decode.

    Args:
        image: opened, not loaded; a JPEG with its reduced size, if it has one.
        size: width and height in the file.
        min_side: about the side of what it will be resized to, 0 if it will not.
        stream: the file.
        name: what messages call it.
    """
    is_jpeg = image.format in ("JPEG", "MPO")
    scans = count_scans(stream, len(image.getbands())) if is_jpeg else 1
    if scans > MAX_SCANS:
        raise ImageError(f"{name}: more than {MAX_SCANS} scans, refused unread; save it anew first")
    pixels, held = image.width * image.height, _held(image)
    converted = 0 if image.mode == "RGB" else 4 * pixels
    # Pillow resizes rows first, with 16 bytes of weights for each pixel of a side.
    resizing = 4 * pixels + 4 * min_side * image.height + 16 * max(image.size)
    needed = max(held + _decoder_bytes(image, size, scans), held + converted, resizing)
    _check_bytes(needed, image, size, name)


def check_turn(image: Image.Image, name: str) -> None:
    """Raise `ImageError` if a picture is too large to be turned, for which a second one is needed."""
    _check_bytes(2 * _held(image), image, image.size, name)


def _check_bytes(needed: int, image: Image.Image, size: tuple[int, int], name: str) -> None:
    if needed > MAX_BYTES:
        raise ImageError(
            f"{name}: {size[0]}x{size[1]} pixels of this {image.format} take {needed // 1_000_000} MB of "
            f"memory to decode, more than {MAX_BYTES // 1_000_000}; reduce its size first"
        )


def _held(image: Image.Image) -> int:
    return _HELD.get(image.mode, 4) * image.width * image.height


def _decoder_bytes(image: Any, size: tuple[int, int], scans: int) -> int:
    """Return what a decoder holds beside the picture."""
    pixels = size[0] * size[1]
    match image.format:
        case "JPEG" | "MPO" if scans > 1:
            return 2 * _coefficients(image, pixels)
        case "WEBP":
            return _WEBP_CANVASES * pixels
        case "BMP" if image.tile and image.tile[0][0] == "bmp_rle":
            return _BMP_RUNS * pixels
        case "TIFF":
            return _tiff_bytes(image)
    return 0


def _coefficients(image: Any, pixels: int) -> int:
    """Return how many 16-bit coefficients libjpeg keeps of a picture that comes in several scans."""
    samples = [across * down for _, across, down, _ in image.layer]
    largest = max(across for _, across, _, _ in image.layer) * max(down for _, _, down, _ in image.layer)
    return pixels * int(sum(samples)) // int(largest)


def _tiff_bytes(image: Any) -> int:
    """Return what libtiff decodes at a time, and what turning the picture takes, which Pillow does itself."""
    tags, turned = image.tag_v2, image.tag_v2.get(_ORIENTATION, 1) != 1
    part: int = 0
    if image.tile and image.tile[0][0] == "libtiff":
        rows = min(tags.get(_ROWS, image.height), image.height)
        width, length = tags.get(_TILE_WIDTH, image.width), tags.get(_TILE_LENGTH, rows)
        # At least as much as RGBA, which libtiff makes of YCbCr.
        part = width * length * max(4, -(-sum(tags.get(_BITS, (8,))) // 8))
    return part + (_held(image) if turned else 0)
