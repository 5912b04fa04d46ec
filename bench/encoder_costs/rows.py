"""Encoders as bench_encoders.py measured them, joined with their quality, and who is beaten by `copy`.

A peer falls to `copy` if it takes longer in the same engine and its file is larger. A hash has no file, and
is compared by its time from a decoded picture, with `copy` in LiteRT.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

ENCODERS, PART = "encoders", "lookalikes"
# What ratios are to, by engine, and for hashes.
OURS = {"litert": "copy (litert)", "onnxruntime": "copy (onnxruntime)"}
HASHES_AGAINST = "litert"
# Every figure of quality that may decide who is at least as good.
MEASURES = {"recall_at_1": "recall@1", "micro_ap": "micro-AP", "normalised_micro_ap": "normalised micro-AP"}

# As people know them: the files' names are longer.
_LABELS = {
    "mobilenet_edgetpu_0.75_224_post_training_quant": "MobileNet-EdgeTPU 0.75/224",
    "mobilenet_v1_0.25_128_quant": "MobileNetV1 0.25/128",
    "mobilenet_v1_0.25_224_quant": "MobileNetV1 0.25/224",
    "mobilenet_v1_0.5_160_quant": "MobileNetV1 0.5/160",
    "mobilenet_v1_1.0_224_quant_embedding_extractor": "MobileNetV1 1.0/224",
    "mobilenet_v2_1.0_224_quant": "MobileNetV2 1.0/224",
    "pretrainedResnet_quant": "ResNet-8",
    "efficientnet_lite0_int8": "EfficientNet-Lite0",
    "efficientnet_lite0_float32": "EfficientNet-Lite0, float",
    "SSCD distilled, 224 px square": "SSCD distilled, 224 px",
    "sscd_distilled": "SSCD distilled, 224 px",
    "PDQ, 8 flips and rotations": "PDQ, 8 ways",
}


def ours_for(engine: str) -> str:
    """Return the name of what ratios of that engine are to; of a hash it is empty."""
    return OURS[engine or HASHES_AGAINST]


def label(name: str) -> str:
    """Return what tables and pictures call an encoder."""
    return _LABELS.get(name, name)


class Quality(NamedTuple):
    """How well look-alikes are told apart; the fields are the keys of `MEASURES`."""

    recall_at_1: float
    micro_ap: float
    normalised_micro_ap: float

    @classmethod
    def of(cls, scores: Mapping[str, Any]) -> Quality:
        """Take it from the scores of a part of the copy benchmark."""
        return cls(scores["recall_at_1"], scores["micro_ap"], scores["normalised"]["micro_ap"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One encoder.

    Attributes:
        name: as results have it.
        engine: that runs it, empty for a hash.
        bytes: of its file, 0 for a hash.
        ms: of one inference; of a hash, from a decoded picture.
        over_copy: the same over `copy`'s.
        size_over_copy: of the file, None for a hash.
        quality: None where it was not measured.
    """

    name: str
    engine: str
    bytes: int
    ms: float
    over_copy: float
    size_over_copy: float | None
    quality: Quality | None

    @property
    def own(self) -> bool:
        """Whether it is edgesim's."""
        return self.name.endswith(tuple(f"({engine})" for engine in OURS))


def read_rows(result: Mapping[str, Any], detection: Mapping[str, Any]) -> list[Row]:
    """Join results of bench_encoders.py with those of bench_copy_detection.py, by name."""
    rows = []
    for name, of in result["encoders"].items():
        part = detection["encoders"].get(name, {"parts": {}})["parts"].get(PART)
        ours = result["encoders"][ours_for(of["engine"])]
        key = "" if of["engine"] else "whole_"
        row = Row(
            name=name,
            engine=of["engine"],
            bytes=of["bytes"],
            ms=of[f"{key}ms"],
            over_copy=of[f"{key}over_copy"],
            size_over_copy=of["bytes"] / ours["bytes"] if of["bytes"] else None,
            quality=part and Quality.of(part),
        )
        rows.append(row)
    return rows


class Verdict(NamedTuple):
    """Peers, divided by one measure of quality.

    Attributes:
        fallen: at least as good as `copy`, and slower and larger.
        standing: at least as good, and faster or smaller.
        worse: less good, however fast or small.
    """

    fallen: list[Row]
    standing: list[Row]
    worse: list[Row]


def verdict(rows: Sequence[Row], measure: str) -> Verdict:
    """Divide the peers whose quality is known by a key of `MEASURES`."""
    ours = {row.name: row.quality for row in rows}
    found = Verdict([], [], [])
    for row in rows:
        if row.own or row.quality is None:
            continue
        if getattr(row.quality, measure) < getattr(ours[ours_for(row.engine)], measure):
            found.worse.append(row)
        elif row.over_copy > 1 and (row.size_over_copy or 0) > 1:
            found.fallen.append(row)
        else:
            found.standing.append(row)
    return found


def faster(rows: Sequence[Row]) -> list[Row]:
    """Return the peers that take less time than `copy`."""
    return [row for row in rows if not row.own and row.over_copy < 1]


def smaller(rows: Sequence[Row]) -> list[Row]:
    """Return the peers whose file is smaller than `copy`'s."""
    return [row for row in rows if not row.own and row.size_over_copy is not None and row.size_over_copy < 1]
