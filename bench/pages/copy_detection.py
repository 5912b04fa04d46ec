"""The tables of docs/copy-detection.md, from bench/results/copy.

Each function takes what bench_copy_detection.py or bench_similar.py wrote, and returns Markdown.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping
from typing import Any

from encoder_costs.rows import MEASURES, Quality
from harness import markdown_table

from pages.page import Page, Tables

# The student of the asymmetric comparison has a table of its own.
_FIRST_PART = "copy_first_part"
# The float encoders on the way to `copy` and past it, and what each learnt by; a table of their own.
_STAGES = {
    "copy_144_average (float)": "QK Iteration, own keys",
    "copy_ms (float)": "Multi-Similarity, 128 images in a batch",
    "copy_ms_1024 (float)": "512 images in a batch",
    "copy_ms_2048 (float)": "1,024 images, more crops and pastes",
    "copy_ms_crops (float)": "1,024 images, still more, and milder views",
    "copy_ms_average (float)": "the average of these three",
    "copy_ms_4096 (float)": "from there, 2,048 images, most crops and pastes",
    "copy_160 (float)": "from the average: 160 pixels, 1,024 images, most crops and pastes",
    "copy_160_crops (float)": "from the average with that: still more crops, and smaller ones",
    "copy (float)": "the average of these two and the one before, which ships",
}
_ON_THE_WAY = [name for name in _STAGES if name != "copy (float)"]
_STUDY_METRICS = ("micro_ap", "recall_at_p90", "recall_at_1")
_METRICS = ("recall_at_1", "micro_ap", "recall_at_p90")


def _size(of: Mapping[str, Any]) -> list[str]:
    return [f"{of['bytes'] / 1e3:,.0f}" if of["bytes"] else "-", str(of["dim"])]


def _measured(result: Mapping[str, Any], part: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the encoders that were measured on a part, the best micro-AP with normalised scores first."""
    found = [
        (name, of)
        for name, of in result["encoders"].items()
        if part in of["parts"] and not name.startswith(_FIRST_PART) and name not in _ON_THE_WAY
    ]
    return sorted(found, key=lambda item: -item[1]["parts"][part]["normalised"]["micro_ap"])


def part_table(result: Mapping[str, Any], part: str) -> str:
    """What each encoder finds of one part of the benchmark."""
    header = [
        "encoder",
        "kB",
        "dim",
        "recall@1",
        "micro-AP",
        "recall@P90",
        "normalised micro-AP",
        "recall@P90",
    ]
    rows = []
    for name, of in _measured(result, part):
        row = of["parts"][part]
        values = [row[key] for key in _METRICS] + [
            row["normalised"][key] for key in ("micro_ap", "recall_at_p90")
        ]
        rows.append([name, *_size(of), *(f"{value:.3f}" for value in values)])
    return markdown_table(header, rows)


def asymmetric_table(result: Mapping[str, Any]) -> str:
    """Look-alikes found by a student, its references described by itself or by its teacher."""
    rows = []
    for name, of in result["encoders"].items():
        if name.startswith(_FIRST_PART) and "lookalikes" in of["parts"]:
            row = of["parts"]["lookalikes"]
            query, _, references = name.partition(", references by ")
            rows.append([query, references or "the same", *(f"{row[key]:.3f}" for key in _METRICS)])
    return markdown_table(["queries by", "references by", "recall@1", "micro-AP", "recall@P90"], rows)


def stages_table(result: Mapping[str, Any]) -> str:
    """What the encoders on the way to `copy`, and past it, find of each part."""
    header = ["run", "learnt by", "look-alikes: recall@1"]
    header += [
        f"{part}: {score}"
        for part in ("look-alikes", "stacked", "mild")
        for score in ("micro-AP", "normalised")
    ]
    rows = []
    for name, learnt_by in _STAGES.items():
        if name in result["encoders"]:
            parts = result["encoders"][name]["parts"]
            found = [Quality.of(parts[part]) for part in ("lookalikes", "stacked", "mild")]
            values = [*found[0], *found[1][1:], *found[2][1:]]
            rows.append([name.partition(" ")[0], learnt_by, *(f"{value:.3f}" for value in values)])
    return markdown_table(header, rows)


def labels_table(result: Mapping[str, Any], part: str) -> str:
    """recall@1 of one part, by edit or by depth."""
    measured = _measured(result, part)
    labels = list(dict.fromkeys(label for _, of in measured for label in of["parts"][part]["recall_at_1_by"]))
    rows = [
        [name, *(f"{of['parts'][part]['recall_at_1_by'].get(label, 0):.2f}" for label in labels)]
        for name, of in measured
    ]
    return markdown_table(["encoder", *labels], rows)


def latency_table(result: Mapping[str, Any]) -> str:
    """Milliseconds of one inference on one thread, and medians of the ratios."""
    found = [(name, of["latency"]) for name, of in result["encoders"].items() if "latency" in of]
    rows = [
        [
            name,
            f"{of['ms']:.2f}",
            *(_ratio(of, key) for key in ("over_sscd_224", "over_mobilenet_v1_0.25_224")),
        ]
        for name, of in sorted(found, key=lambda item: item[1]["ms"])
    ]
    return markdown_table(["encoder", "ms", "over SSCD at 224 px", "over MobileNetV1 0.25/224"], rows)


def _ratio(of: Mapping[str, Any], key: str) -> str:
    return f"{of[key]:.2f}" if key in of else ""


def similar_table(result: Mapping[str, Any]) -> str:
    """How often the nearest neighbour is of the right product."""
    measured = sorted(result["encoders"].items(), key=lambda item: -item[1]["accuracy"])
    rows = [[name, *_size(of), f"{of['accuracy']:.3f}"] for name, of in measured]
    return markdown_table(["encoder", "kB", "dim", "accuracy"], rows)


def million_table(result: Mapping[str, Any]) -> str:
    """What steps against a million keys take."""
    seconds = result["seconds"]
    rows = [
        [f"Q-step, {result['batch']} queries against {result['keys']:,} keys", f"{seconds['q_step']:.1f} s"],
        [
            f"K-step, {result['features']} features to {result['embedding_dim']} numbers",
            f"{seconds['k_step']:.1f} s",
        ],
        ["peak memory of the process", f"{result['peak_mib']:,} MiB"],
        ["the logits alone would take", f"{result['logits_would_take_mib']:,} MiB"],
    ]
    return markdown_table(["figure", "measured"], rows)


def study_table(result: Mapping[str, Any]) -> str:
    """micro-AP, recall@P90 and recall@1 of each method: mean and standard deviation between seeds."""
    rows = []
    for method, figures in result["figures"].items():
        columns = [[figure[metric] for figure in figures] for metric in _STUDY_METRICS]
        spread = [
            f"{statistics.mean(c):.3f} ± {statistics.stdev(c) if len(c) > 1 else 0:.3f}" for c in columns
        ]
        rows.append([method, *spread])
    return markdown_table(["method", "micro-AP", "recall@P90", "recall@1"], rows)


def ablation_table(result: Mapping[str, Any]) -> str:
    """What small runs find that differ from the first in one thing each."""
    rows = [
        [
            name,
            f"{run['parameters'] / 1e6:.2f} M",
            *(f"{value:.3f}" for value in Quality.of(run)),
        ]
        for name, run in result["runs"].items()
    ]
    return markdown_table(["run", "parameters", *MEASURES.values()], rows)


def input_size_table(result: Mapping[str, Any]) -> str:
    """What the built-in encoders find at other input sizes."""
    rows = [
        [
            size,
            *(f"{value:.3f}" for value in Quality.of(found)),
            f"{result['similar'][size]:.3f}",
        ]
        for size, found in result["copy"].items()
    ]
    header = ["pixels", "`copy`: recall@1", "micro-AP", "normalised micro-AP", "`similar`: right product"]
    return markdown_table(header, rows)


def augment_table(result: Mapping[str, Any]) -> str:
    """Images a second on one core, by library and operation; the last column is that of whole views."""
    found = result["images_per_second"]
    kinds = list(dict.fromkeys(kind for of in found.values() for kind in of))
    rows = [
        [library, *(f"{of[kind]:,}" if kind in of else "" for kind in kinds)] for library, of in found.items()
    ]
    return markdown_table(["images a second", *kinds], rows)


DETECTION, SIMILAR = "copy/detection", "copy/similar"
TABLES: Tables = {
    **{
        name + suffix: (DETECTION, functools.partial(table, part=name))
        for name in ("mild", "lookalikes", "stacked")
        for suffix, table in (("", part_table), (" by edit", labels_table))
    },
    "latency": (DETECTION, latency_table),
    "stages": (DETECTION, stages_table),
    "asymmetric": (DETECTION, asymmetric_table),
    "similar": (SIMILAR, similar_table),
    "qk million": ("copy/qk_million", million_table),
    "qk study": ("copy/qk_study", study_table),
    "ablation": ("copy/ablation", ablation_table),
    "input size": ("copy/input_size", input_size_table),
    "augment": ("augment", augment_table),
}
PAGES = [Page(title="copy-detection.md", tables=TABLES)]
