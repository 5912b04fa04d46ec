"""Sound files of every kind that edgesim reads, made anew each time: what mutations begin with."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from edgesim.manifest import manifest_text
from tests.helpers import TinyEncoder
from tests.image_files import bmp_of_runs, encode, noise, oriented

SIZE = (40, 24)


def image_seeds() -> dict[str, list[bytes]]:
    """Return, by format, files that take different ways through its decoder."""
    rgb = Image.fromarray(noise(24, 40)).resize(SIZE)
    grey, colours = rgb.convert("L"), rgb.quantize(16)
    wide = Image.fromarray(np.arange(960, dtype=np.uint16).reshape(24, 40) * 60)
    clear = rgb.convert("RGBA")
    clear.putalpha(grey)
    return {
        "JPEG": [
            encode(rgb, "JPEG", exif=oriented(6)),
            encode(rgb, "JPEG", progressive=True, subsampling=0),
            encode(grey, "JPEG", restart_marker_rows=1),
            encode(rgb.convert("CMYK"), "JPEG"),
            encode(rgb, "MPO", save_all=True, append_images=[rgb]),
        ],
        "PNG": [
            encode(rgb, "PNG", exif=oriented(8)),
            encode(clear, "PNG"),
            encode(colours, "PNG", transparency=3),
            encode(wide, "PNG"),
            encode(rgb.convert("1"), "PNG"),
        ],
        "WEBP": [
            encode(rgb, "WEBP", exif=oriented(3)),
            encode(clear, "WEBP", lossless=True),
            encode(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)]),
            encode(Image.new("RGB", (1000, 750)), "WEBP", lossless=True),  # in 38 bytes
        ],
        "BMP": [encode(rgb, "BMP"), encode(colours, "BMP"), encode(rgb.convert("1"), "BMP"), bmp_in_runs()],
        "TIFF": [
            *(encode(rgb, "TIFF", compression=how) for how in (None, "tiff_lzw", "jpeg", "tiff_deflate")),
            encode(rgb.convert("1"), "TIFF", compression="group4"),
            encode(wide, "TIFF", compression="packbits", exif=oriented(5)),
            encode(rgb.convert("F"), "TIFF", tiffinfo={278: 8}),
            encode(rgb, "TIFF", big_tiff=True),
        ],
        "GIF": [
            encode(colours, "GIF"),
            encode(colours, "GIF", transparency=3, interlace=1),
            encode(colours, "GIF", save_all=True, append_images=[colours.rotate(180)], comment=b"twice"),
        ],
    }


def bmp_in_runs() -> bytes:
    """Return a picture with runs, rows of single pixels, and a jump."""
    width, height = SIZE
    row = bytes([width // 2, 1, 0, width // 2, *range(width // 2), 0, 0])
    runs = row * (height - 1) + row[:2] + bytes([0, 2, width // 2, 0, 0, 1])
    return bmp_of_runs(SIZE, runs, bytes(range(256)) * 4)


def bundle_seeds() -> list[bytes]:
    """Return an ONNX file, a TFLite file and a manifest."""
    from tests.runtime.tflite_files import Tensor, tflite_file

    tensors = [
        Tensor((1, 4, 4, 3), np.float32),
        Tensor((2,), np.int32, data=np.array([1, 2])),
        Tensor((1, 3), np.float32, scale=0.5),
    ]
    spec = TinyEncoder().spec()
    manifest = {
        "format_version": 1,
        "spec": spec.to_dict(),
        "encoder_id": "0" * 16,
        "models": {"onnx": {"file": "model.onnx", "quantisation": "none"}},
        "recipe": {"name": "float"},
        "gates": [{"gate": "size", "value": 3000, "limit": 1000000, "passed": True}],
        "made_by": {"edgesim": "1"},
        "files": {"model.onnx": hashlib.sha256(b"").hexdigest()},
    }
    model = TinyEncoder().onnx()
    return [model, tflite_file(tensors, [("MEAN", [0, 1], 2)]), manifest_text(manifest)]
