"""The facts of a TFLite file, where its tools look for them.

- A buffer named `TFLITE_METADATA` holds a FlatBuffer after metadata_schema.fbs of the TFLite Support Library:
  name, description, author, licence, the picture that goes in and how it is normalised, what comes out.
- `edgesim.json`, all of `ModelFacts`, is an associated file of it: appended to the model as a ZIP archive,
  which is the library's way too. `zipfile.ZipFile("model.tflite")` opens it; interpreters pass over it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgesim_export.model_metadata import ModelFacts

FACTS_FILE = "edgesim.json"
_ENTRY = "TFLITE_METADATA"
# The schema's file identifier, and its version that is the first to have all fields used here.
_IDENTIFIER, _SCHEMA_VERSION = b"M001", "1.0.0"
_ALIGNMENT = 16


def stamp_tflite(content: bytes, facts: ModelFacts) -> bytes:
    """Return a TFLite file with the facts in both places."""
    return _append_facts(_add_entry(content, metadata_buffer(facts)), facts)


def _add_entry(content: bytes, metadata: bytes) -> bytes:
    """Return the file with one more buffer and the entry that names it.

    The quantizer lays large weights behind the FlatBuffer, at offsets counted from the file's start: these
    move by as much as the FlatBuffer grows.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    outside = [buffer for buffer in model.buffers if buffer.offset]
    weights = min((buffer.offset for buffer in outside), default=len(content))
    model.buffers.append(schema.BufferT(data=np.frombuffer(metadata, np.uint8)))
    model.metadata = [*(model.metadata or []), schema.MetadataT(name=_ENTRY, buffer=len(model.buffers) - 1)]
    # An offset has a fixed width, so the length is known before the offsets are right.
    start = -(-len(_pack(model)) // _ALIGNMENT) * _ALIGNMENT
    for buffer in outside:
        buffer.offset += start - weights
    return _pack(model).ljust(start, b"\0") + content[weights:]


def _pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _append_facts(content: bytes, facts: ModelFacts) -> bytes:
    stream = io.BytesIO()
    stream.write(content)
    # In mode "w" the archive begins where the stream stands. Stored, and dated as ZIP's first day: the same
    # bytes from every machine.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        values = {key: value for key, value in dataclasses.asdict(facts).items() if value != ""}
        text = json.dumps(values, indent=1)
        archive.writestr(zipfile.ZipInfo(FACTS_FILE, (1980, 1, 1, 0, 0, 0)), text + "\n")
    return stream.getvalue()


def metadata_buffer(facts: ModelFacts) -> bytes:
    """Return the FlatBuffer `ModelMetadata`."""
    builder = flatbuffers.Builder(2048)
    subgraph = {2: [_input(facts)], 3: [_output(facts)]}
    associated = {0: FACTS_FILE, 1: "all facts, as JSON", 2: _byte(1)}  # type DESCRIPTIONS
    root = {
        0: facts.name,
        1: facts.description,
        2: facts.encoder_id,
        3: [subgraph],
        4: facts.author,
        5: facts.licence,
        6: [associated],
        7: _SCHEMA_VERSION,
    }
    builder.Finish(_write_table(builder, root), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


# Tables are written as dictionaries: number of the field in the schema -> value.
_Scalar = Callable[[flatbuffers.Builder, int], None]
_Table = Mapping[int, Any]


def _input(facts: ModelFacts) -> _Table:
    size = {0: _uint(facts.input_size), 1: _uint(facts.input_size)}
    image = {0: _byte(1), 1: size}  # ColorSpaceType.RGB
    normalisation = {0: _floats(facts.mean), 1: _floats(facts.std)}
    return {
        0: "image",
        1: (
            "RGB, upright by its EXIF tag, transparency over white, stretched to "
            f"{facts.input_size}x{facts.input_size} pixels by antialiased bilinear filtering; normalised, "
            "then quantised by the tensor's scale and zero point."
        ),
        3: {0: _byte(2), 1: image},  # union ContentProperties: ImageProperties
        4: [{0: _byte(1), 1: normalisation}],  # union ProcessUnitOptions: NormalizationOptions
    }


def _output(facts: ModelFacts) -> _Table:
    return {
        0: "embedding",
        1: (
            f"{facts.embedding_dim} numbers, dequantised by the tensor's scale and zero point; divide by "
            "their L2 norm, after which a dot product is the cosine similarity."
        ),
        3: {0: _byte(1), 1: {}},  # union ContentProperties: FeatureProperties, which has no fields
    }


def _byte(value: int) -> _Scalar:
    return lambda builder, slot: builder.PrependUint8Slot(slot, value, 0)


def _uint(value: int) -> _Scalar:
    return lambda builder, slot: builder.PrependUint32Slot(slot, value, 0)


def _floats(values: Sequence[float]) -> Any:
    return np.asarray(values, dtype=np.float32)


def _write_table(builder: flatbuffers.Builder, fields: _Table) -> int:
    """Write a table with all that it refers to, empty texts left out; returns its offset."""
    fields = {slot: value for slot, value in fields.items() if not isinstance(value, str) or value}
    # What a table refers to must be written before the table itself.
    offsets = {slot: _write(builder, value) for slot, value in fields.items() if not callable(value)}
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, value in fields.items():
        if callable(value):
            value(builder, slot)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
    return int(builder.EndObject())


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Mapping):
        return _write_table(builder, value)
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    offsets = [_write(builder, item) for item in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
