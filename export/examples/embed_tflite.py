"""The embedding of a picture by an encoder's `model.tflite`, without edgesim: an interpreter, NumPy, Pillow.

    python embed_tflite.py model.tflite photo.jpg

How to prepare the picture is read from the model file, which is a ZIP archive too; the embedding is printed
as JSON.
"""

import json
import sys
import zipfile

import numpy as np
from PIL import Image, ImageOps

try:
    from ai_edge_litert.interpreter import Interpreter
except ModuleNotFoundError:
    from tflite_runtime.interpreter import Interpreter

model, picture = sys.argv[1:]
facts = json.loads(zipfile.ZipFile(model).read("edgesim.json"))

image = Image.open(picture)
image.draft(None, (facts["jpeg_min_side"],) * 2)  # a large JPEG is decoded at a half, a quarter, an eighth
image = ImageOps.exif_transpose(image).convert("RGBA")
image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
image = image.resize((facts["input_size"],) * 2, Image.Resampling.BILINEAR)
mean, std = np.float32(facts["mean"]), np.float32(facts["std"])
normalised = (np.asarray(image, dtype=np.float32) - mean) / std

interpreter = Interpreter(model_path=model)
interpreter.allocate_tensors()
(into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
scale, zero_point = into["quantization"]
quantised = np.clip(np.round(normalised / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
interpreter.set_tensor(into["index"], quantised[None])  # NHWC
interpreter.invoke()
scale, zero_point = out["quantization"]
embedding = (interpreter.get_tensor(out["index"])[0].astype(np.float32) - zero_point) * np.float32(scale)
print(json.dumps((embedding / np.linalg.norm(embedding)).tolist()))
