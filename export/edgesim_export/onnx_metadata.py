"""The facts of an ONNX file, as `metadata_props`: texts under names, which every ONNX Runtime hands out.

Three names are the ecosystem's (onnx/docs/MetadataProps.md), `author` and `license` are what viewers show;
the rest are the fields of `ModelFacts`, after `edgesim.`.
"""

from __future__ import annotations

import dataclasses

import onnx

from edgesim_export.model_metadata import ModelFacts


def stamp_onnx(content: bytes, facts: ModelFacts) -> bytes:
    """Return an ONNX file with the facts in `metadata_props`, and the description as its `doc_string`."""
    model = onnx.load_from_string(content)
    model.doc_string = facts.description
    model.producer_name, model.producer_version = "edgesim", facts.edgesim
    onnx.helper.set_model_props(model, metadata_props(facts))
    return bytes(model.SerializeToString())


def metadata_props(facts: ModelFacts) -> dict[str, str]:
    """Return the facts as ONNX carries them: lists are written `1.5, 2.5, 3.5`, empty ones left out."""
    fields = {f"edgesim.{key}": _text(value) for key, value in dataclasses.asdict(facts).items()}
    known = {
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        # Of the pixels that mean and std are meant for; the network itself takes them normalised.
        "Image.NominalPixelRange": "NominalRange_0_255",
        "author": facts.author,
        "license": facts.licence,
    }
    return {key: text for key, text in {**known, **fields}.items() if text}


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
