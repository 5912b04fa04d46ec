"""The table of boards in README.md: what `copy` costs on each, and how that is known.

Only what was measured is in it, on the board itself (bench/reference) or on this PC (bench/results/cli.json);
for the rest it says where figures from emulation (bench/results/arm) or estimates (edgesim.latency_estimate)
are. Quality was measured on a PC with the model file that the board runs (bench/results/copy).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import RESULTS, markdown_table

from edgesim.bench_report import BenchReport
from edgesim.builtin import DEFAULT_ENCODER, bundle_folder
from edgesim.bundle import Bundle
from edgesim.engines import ENGINES
from edgesim.errors import UsageError
from edgesim.latency_estimate import bundle_estimates
from edgesim.profiles import DeviceProfile, load_profile, profile_names
from pages.page import Page, Tables
from pages.reference_files import REFERENCE, read_references

_HEADER = (
    "board",
    "profile",
    f"model file of `{DEFAULT_ENCODER}`",
    "a 1280x960 photo: decode + encode",
    "peak memory of a query",
    "recall@1 of edited copies",
    "otherwise",
)
# Of the three photos that `edgesim bench` decodes, that which is nearest to a small camera's.
_MEGAPIXELS = 2.0
_NOT_MEASURED = "not measured yet"
_EMULATED, _ESTIMATED = "[emulated](docs/arm.md)", "[estimated](docs/latency-estimates.md)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """What the table is made of.

    Attributes:
        bundle: the encoder.
        cli, check, detection: the files of bench/results: cli, arm/check and copy/detection.
        references: profile -> what was measured on the board.
    """

    bundle: Bundle
    cli: Mapping[str, Any]
    check: Mapping[str, Any]
    detection: Mapping[str, Any]
    references: Mapping[str, BenchReport]


def read_sources(results: Path = RESULTS, references: Path = REFERENCE) -> Sources:
    """Read everything. Raises `InputError` for a reference that was not measured on its board."""
    bundle = Bundle.load(bundle_folder(DEFAULT_ENCODER))
    names = ("cli", "arm/check", "copy/detection")
    cli, check, detection = (json.loads((results / f"{n}.json").read_text()) for n in names)
    return Sources(
        bundle=bundle,
        cli=cli,
        check=check,
        detection=detection,
        references=read_references(bundle.encoder_id, references),
    )


def boards_table(sources: Sources, profiles: Sequence[DeviceProfile]) -> str:
    """Return the table: the PC of bench/README.md, then every profile."""
    rows = [_pc_row(sources), *(_board_row(sources, profile) for profile in profiles)]
    return markdown_table(_HEADER, rows)


def _pc_row(sources: Sources) -> list[str]:
    cli = sources.cli
    per_photo = [1e3 * cli["add_seconds"][part] / cli["photos"] for part in ("decoding", "encoder")]
    return [
        f"{cli['machine']['cpu']} (x86-64, {cli['machine']['features'][-1]})",
        "-",
        _size(sources, cli["engine"]),
        f"{per_photo[0]:.1f} + {per_photo[1]:.2f} ms",
        f"{cli['figures']['query peak MiB']['value']:.0f} MiB",
        _recall(sources, cli["engine"]),
        "",
    ]


def _board_row(sources: Sources, profile: DeviceProfile) -> list[str]:
    report = sources.references.get(profile.name)
    engine = report.engine if report else profile.engines[0]
    return [
        profile.title,
        f"`{profile.name}`",
        _size(sources, engine),
        _measured_latency(report) if report else _NOT_MEASURED,
        f"{report.memory.peak_mib:.0f} MiB" if report else _NOT_MEASURED,
        _recall(sources, engine),
        "" if report else _otherwise(sources, profile),
    ]


def _size(sources: Sources, engine: str) -> str:
    model_format = ENGINES[engine].model_format
    size = sources.bundle.model_path(model_format).stat().st_size
    return f"{size / 1e3:.0f} kB ({'TFLite' if model_format == 'tflite' else 'ONNX'})"


def _measured_latency(report: BenchReport) -> str:
    photo = min(report.queries, key=lambda query: abs(query.megapixels - _MEGAPIXELS))
    decode = photo.decode.p50_ms + photo.preprocess.p50_ms
    return f"{decode:.1f} + {photo.inference.p50_ms:.2f} ms ({photo.megapixels:g} MP)"


def _otherwise(sources: Sources, profile: DeviceProfile) -> str:
    """Return where figures of another kind are: of the emulated core, and estimates from them."""
    # QEMU has no 32-bit Cortex-A53: a Cortex-A7 stands for it.
    emulated = profile.architecture == "armv7l" or profile.core.lower() in sources.check["cores"]
    kinds = [_EMULATED] if emulated else []
    with contextlib.suppress(UsageError):
        bundle_estimates(profile, sources.bundle)
        kinds.append(_ESTIMATED)
    return ", ".join(kinds)


def _recall(sources: Sources, engine: str) -> str:
    """Return recall@1 of mild and hard edits with the engine's model file; a dash if not measured."""
    of = sources.detection["encoders"].get(f"{DEFAULT_ENCODER} ({engine})")
    if of is None:
        return "-"
    mild, hard = (of["parts"][part]["recall_at_1"] for part in ("mild", "lookalikes"))
    return f"{mild:.3f} mild, {hard:.3f} hard"


def boards(_: Mapping[str, Any]) -> str:
    return boards_table(read_sources(), [load_profile(name) for name in profile_names()])


TABLES: Tables = {"boards": ("cli", boards)}

PAGES = [Page(title="../README.md", tables=TABLES)]
