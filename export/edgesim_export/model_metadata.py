"""What a model file says of itself, so that programs that never heard of edgesim can use it.

One set of facts, written where each format's tools look: `onnx_metadata.py`, `tflite_metadata.py`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edgesim import __version__
from edgesim.model_spec import ModelSpec
from edgesim_export.converted import ConvertedModel

# The layout of these facts; raised when a reader would have to change.
FACTS_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """All that it takes to use a model file, and where it comes from.

    The network takes `(pixel - mean) / std` of an RGB picture, channel by channel, in float32.

    Attributes:
        facts_version: `FACTS_VERSION`.
        name: the encoder's name.
        description: one sentence.
        author: who made the encoder; empty if nobody said.
        licence: of the weights; empty if nobody said.
        edgesim: version of the program that exported it.
        encoder_id: `ModelSpec.encoder_id`; files of one encoder share it, whatever their format.
        preprocess_version: of `edgesim.preprocess`.
        input_size: height and width of the picture that the network takes, in pixels.
        layout: order of the input's axes: `NCHW` or `NHWC`.
        colour_order: `RGB`.
        exif_orientation: `apply`: the picture is turned upright by its EXIF tag before all else.
        transparency: `over white`.
        resize: `stretch`: to the square, without keeping the aspect ratio.
        interpolation: `bilinear, antialiased`: Pillow's `BILINEAR`, a triangle as wide as the reduction.
        jpeg_min_side: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size while both sides stay this long.
        mean, std: per channel R, G, B, of pixels 0..255.
        embedding_dim: length of the output.
        output: `divide by its L2 norm`, after which a dot product is the cosine similarity.
    """

    facts_version: int = FACTS_VERSION
    name: str
    description: str
    author: str
    licence: str
    edgesim: str = __version__
    encoder_id: str
    preprocess_version: int
    input_size: int
    layout: str = ""
    colour_order: str = "RGB"
    exif_orientation: str = "apply"
    transparency: str = "over white"
    resize: str = "stretch"
    interpolation: str = "bilinear, antialiased"
    jpeg_min_side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    embedding_dim: int
    output: str = "divide by its L2 norm"


def model_facts(spec: ModelSpec, encoder_id: str, author: str = "", licence: str = "") -> ModelFacts:
    """Return the facts of an encoder; the model file's format adds its `layout`.

    Args:
        spec, encoder_id: of the encoder.
        author, licence: what its maker says of it; empty if nothing.
    """
    return ModelFacts(
        name=spec.name,
        description=(
            f"Image embedding for similarity search: {spec.input_size}x{spec.input_size} RGB in, "
            f"{spec.embedding_dim} numbers out; compare by cosine."
        ),
        author=author,
        licence=licence,
        encoder_id=encoder_id,
        preprocess_version=spec.preprocess_version,
        input_size=spec.input_size,
        jpeg_min_side=2 * spec.input_size,
        mean=_of_pixels(spec.mean),
        std=_of_pixels(spec.std),
        embedding_dim=spec.embedding_dim,
    )


def _of_pixels(values: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return mean or std of pixels 0..255: the float32 numbers that `edgesim.preprocess` works with.

    As the shortest decimals that give these numbers again, so that a reader gets them to the bit.
    """
    red, green, blue = (float(str(np.float32(value) * np.float32(255.0))) for value in values)
    return red, green, blue


def stamp(format_name: str, model: ConvertedModel, facts: ModelFacts) -> ConvertedModel:
    """Return a model file with the facts in it; it computes the same numbers.

    Args:
        format_name: `onnx` or `tflite`.
        model: as the converter made it.
        facts: from `model_facts`.
    """
    # Imported when asked for: each needs what only its converter has brought.
    if format_name == "onnx":
        from edgesim_export.onnx_metadata import stamp_onnx

        content = stamp_onnx(model.content, dataclasses.replace(facts, layout="NCHW"))
    else:
        from edgesim_export.tflite_metadata import stamp_tflite

        content = stamp_tflite(model.content, dataclasses.replace(facts, layout="NHWC"))
    return dataclasses.replace(model, content=content)
