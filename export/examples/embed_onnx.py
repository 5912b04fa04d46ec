"""The embedding of a picture by an encoder's `model.onnx`, without edgesim: onnxruntime, NumPy and Pillow.

    python embed_onnx.py model.onnx photo.jpg

How to prepare the picture is read from the model file; the embedding is printed as JSON.
"""

import json
import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, picture = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map
mean, std = (np.float32(facts[f"edgesim.{key}"].split(",")) for key in ("mean", "std"))
size, jpeg_min_side = int(facts["edgesim.input_size"]), int(facts["edgesim.jpeg_min_side"])
image = Image.open(picture)
image.draft(None, (jpeg_min_side, jpeg_min_side))  # a large JPEG is decoded at a half, a quarter, an eighth
image = ImageOps.exif_transpose(image).convert("RGBA")
image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)

normalised = (pixels - mean) / std
batch = np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])  # NCHW
(embedding,) = session.run(None, {session.get_inputs()[0].name: batch})[0]
print(json.dumps((embedding / np.linalg.norm(embedding)).tolist()))
