"""From the bytes of an image file to the network's input: the only implementation, for every side.

decode -> apply the EXIF orientation -> RGB -> resize to a square -> scale to 0..1 -> normalise.
The square resize does not keep the aspect ratio, so no pixel of the picture is lost. What this module
computes from the same bytes is named by `PREPROCESS_VERSION`; raise that when it changes.
"""

from __future__ import annotations

import functools
import importlib
import io
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from edgesim.errors import ImageError
from edgesim.image_limits import check_cost, check_parts, check_size, check_turn
from edgesim.model_spec import ModelSpec

# How the files of each format begin, and its decoder in Pillow. A file is known by its content, never by its
# name; no other decoder is ever run on it. (A camera's MPO file begins, and opens, as JPEG.)
_FORMATS = (
    ("JPEG", (b"\xff\xd8\xff",), "JpegImagePlugin"),
    ("PNG", (b"\x89PNG\r\n\x1a\n",), "PngImagePlugin"),
    ("WEBP", (b"RIFF",), "WebPImagePlugin"),
    ("BMP", (b"BM",), "BmpImagePlugin"),
    ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TiffImagePlugin"),
    ("GIF", (b"GIF87a", b"GIF89a"), "GifImagePlugin"),
)
FORMATS = tuple(name for name, _, _ in _FORMATS)
# What makes a picture of each EXIF orientation upright; 1 is upright already.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# So many are converted at a time.
_STRIP_PIXELS = 100_000

Pixels = NDArray[np.uint8]


def decode_image(source: Path | bytes, min_side: int | None = None, name: str | None = None) -> Image.Image:
    """Decode an image file into an upright RGB picture; of an animation, the first frame.

    Transparent pixels are laid over white; 16-bit grey is scaled by 1/257.

    Args:
        source: a path, or the file's bytes.
        min_side: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as both sides stay at least
            this long: many times faster for a camera's photo, and nothing is lost when a much smaller
            resize follows.
        name: what messages call the image; by default its path.

    Raises:
        ImageError: not an image of a known format, damaged, too small, or it would take more memory or time
            than a small device has (`edgesim.image_limits`).
    """
    name = name or (str(source) if isinstance(source, Path) else "image")
    try:
        with warnings.catch_warnings():
            # What Pillow warns of, odd metadata, does not touch the pixels.
            warnings.simplefilter("ignore")
            with (
                io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream,
                _open(stream, name) as image,
            ):
                size = image.size
                check_size(size, name)
                if min_side is not None:
                    image.draft(None, (min_side, min_side))
                check_cost(image, size, min_side or 0, stream, name)
                turned = _turned(image, name)
                if turned is None:
                    return _to_rgb(image)
            # Behind the block, which gives back the memory of the picture as it was.
            return _to_rgb(turned)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name}: is a folder, not an image") from error
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode it") from error
    # Pillow's decoders raise whatever a malformed file leads them to: OSError, SyntaxError, struct.error,
    # ValueError and others. All of them mean the same here.
    except Exception as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: damaged or unreadable image ({detail})") from error


def _open(stream: BinaryIO, name: str) -> Image.Image:
    """Read the header of an image file with the one decoder of its format.

    Only that decoder is imported. `Image.open` would import five, which takes longer than decoding a photo.
    """
    head = stream.read(16)
    stream.seek(0)
    for image_format, beginnings, decoder in _FORMATS:
        if head.startswith(beginnings):
            importlib.import_module(f"PIL.{decoder}")
            factory, accepts = Image.OPEN[image_format]
            # Beside False it may return the reason why Pillow was built without that decoder.
            if accepts is not None and accepts(head) is not True:
                break
            if image_format == "TIFF":
                check_parts(stream, name)
            try:
                return factory(stream, "")
            # What decoders raise to say that it is none of theirs.
            except (SyntaxError, IndexError, TypeError, struct.error) as error:
                raise ImageError(_unknown(name)) from error
    raise ImageError(_unknown(name))


def _unknown(name: str) -> str:
    return f"{name}: not an image in a known format ({', '.join(FORMATS)})"


def _turned(image: Image.Image, name: str) -> Image.Image | None:
    """Load a picture, and return it turned as its EXIF orientation asks, None if it is upright.

    Damaged EXIF is passed over: the pixels may be whole.
    """
    image.load()  # before EXIF, which some formats keep behind the pixels
    if image.format == "TIFF":
        return None  # Pillow has turned it; in version 9.4 its EXIF still asks for that
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        turn = None
    if turn is None:
        return None
    check_turn(image, name)
    return image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _by_strips(image, _grey_16_to_rgb)
    if image.mode in ("I", "F"):
        return _by_strips(image, functools.partial(_wide_grey_to_rgb, scale=_wide_grey_scale(image)))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return _by_strips(image, _over_white)
    # `convert` would copy, and two copies of a large photo are more than a small device can hold.
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert a picture to RGB some rows at a time: whole, what lies between would take as much again."""
    rgb = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        rgb.paste(convert(strip), (0, top))
    return rgb


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _over_white(image: Image.Image) -> Image.Image:
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    over_white = Image.new("RGB", rgba.size, (255, 255, 255))
    over_white.paste(rgba, mask=rgba)
    return over_white


def _grey_16_to_rgb(image: Image.Image) -> Image.Image:
    grey = np.asarray(image, dtype=np.float32) / 257.0
    return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")


def _wide_grey_scale(image: Image.Image) -> float:
    """Return what brings 32-bit grey to 8 bits, by the smallest usual range: 0..1, 0..255 or 0..65535."""
    top = max(float(np.nan_to_num(np.asarray(strip, dtype=np.float32)).max()) for _, strip in _strips(image))
    return 255.0 if image.mode == "F" and top <= 1.0 else 1.0 if top <= 255.0 else 1.0 / 257.0


def _wide_grey_to_rgb(image: Image.Image, scale: float) -> Image.Image:
    grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
    return Image.fromarray(np.clip(np.rint(grey * scale), 0, 255).astype(np.uint8)).convert("RGB")


def resize_image(image: Image.Image, size: int) -> Pixels:
    """Resize an RGB picture to a square by antialiased bilinear filtering; returns (size, size, 3) uint8."""
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)


def resize_pixels(pixels: Pixels, size: int) -> Pixels:
    """Resize images (N, H, W, 3) uint8 RGB to squares (N, size, size, 3) as `resize_image` does."""
    if pixels.shape[1:3] == (size, size):
        return pixels
    return np.stack([resize_image(Image.fromarray(image), size) for image in pixels])


def load_pixels(source: Path | bytes, size: int, name: str | None = None) -> Pixels:
    """Decode and resize one image; returns (size, size, 3) uint8 RGB. Raises `ImageError`."""
    return resize_image(decode_image(source, min_side=2 * size, name=name), size)


def normalise(pixels: NDArray[Any], spec: ModelSpec) -> NDArray[np.float32]:
    """Scale uint8 pixels (..., 3) to 0..1 and normalise them by the spec's mean and std, as float32."""
    mean = np.asarray(spec.mean, dtype=np.float32) * 255.0
    std = np.asarray(spec.std, dtype=np.float32) * 255.0
    return np.asarray((pixels.astype(np.float32) - mean) / std)
