"""The tables and pictures of docs/encoders.md, from bench/results.

Quality is that of bench/results/copy/detection.json, joined by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from charts.encoders import quality_chart, roofline_chart
from encoder_costs.rows import ENCODERS, MEASURES, OURS, Row, faster, label, read_rows, smaller, verdict
from harness import RESULTS, markdown_table

from pages.page import Page, Tables, measured_on

INSTRUCTIONS = "encoder_instructions"


def joined(result: Mapping[str, Any]) -> list[Row]:
    """Return the rows with their quality, the best recall@1 first, those without last."""
    detection = json.loads((RESULTS / "copy" / "detection.json").read_text())
    rows = read_rows(result, detection)
    return sorted(rows, key=lambda row: -(row.quality.recall_at_1 if row.quality else 0))


def cost_table(result: Mapping[str, Any]) -> str:
    """Size, memory, latency and quality."""
    rows = []
    for row in joined(result):
        of = result["encoders"][row.name]
        alone = [f"{of['ms']:.2f}", f"{of['over_copy']:.2f}"] if "ms" in of else ["-", "-"]
        rows.append(
            [
                label(row.name),
                row.engine or "-",
                f"{row.bytes / 1e3:,.0f}" if row.bytes else "-",
                str(of["dim"]),
                f"{of['peak_mib']:.0f}",
                *alone,
                f"{of['whole_ms']:.2f}",
                f"{of['whole_over_copy']:.2f}",
                *([f"{value:.3f}" for value in row.quality] if row.quality else ["", "", ""]),
            ]
        )
    time = ["ms", "over copy", "whole, ms", "over copy"]
    header = ["encoder", "engine", "kB", "dim", "peak, MiB", *time, *MEASURES.values()]
    return markdown_table(header, rows)


def speed_table(result: Mapping[str, Any]) -> str:
    """What each model computes, how fast, and the share of the ceiling of its engine and arithmetic."""
    ceilings = result["ceilings"]["macs_per_second"]
    rows = []
    for name, of in result["encoders"].items():
        if not of["engine"]:
            continue
        speed = of["macs"] / of["ms"] * 1e3
        share = speed / ceilings[of["engine"]][of["arithmetic"]]
        counted = [f"{of['macs'] / 1e6:.1f}", f"{of['moved_bytes'] / 1e6:.2f}"]
        intensity = f"{of['macs'] / of['moved_bytes']:.1f}"
        what = [label(name), of["engine"], of["arithmetic"]]
        rows.append((speed, [*what, *counted, intensity, f"{speed / 1e9:.0f}", f"{100 * share:.0f} %"]))
    counted = ["M MACs", "MB moved", "MACs a byte"]
    header = ["encoder", "engine", "arithmetic", *counted, "G MACs/s", "of the ceiling"]
    return markdown_table(header, [row for _, row in sorted(rows, key=lambda item: -item[0])])


def ceilings_table(result: Mapping[str, Any]) -> str:
    """What the machine's one thread can do, and what a process has before it loads a model."""
    ceilings = result["ceilings"]
    rows = [
        [f"{arithmetic} matrix product, {engine}", f"{speed / 1e9:.0f} G MACs/s"]
        for engine, of in ceilings["macs_per_second"].items()
        for arithmetic, speed in of.items()
    ]
    rows += [
        [f"copying in {where}, read and written", f"{speed / 1e9:.0f} GB/s"]
        for where, speed in ceilings["bytes_per_second"].items()
    ]
    rows += [
        [f"peak memory of Python with NumPy and {engine}, no model", f"{mib:.0f} MiB"]
        for engine, mib in result["imports_mib"].items()
    ]
    return markdown_table(["what", "measured"], rows)


def verdict_text(result: Mapping[str, Any]) -> str:
    """Say who falls to `copy`, measure by measure, and who is faster or smaller."""
    rows = [row for row in joined(result) if row.quality]
    lines = [_sentence(rows, measure, name) for measure, name in MEASURES.items()]
    lines.append(f"Faster than `copy`, whatever they find: {_ratios(faster(rows))}.")
    lines.append(f"Of a smaller file: {_ratios(smaller(rows))}.")
    return "\n".join(f"- {line}" for line in lines)


def _sentence(rows: Sequence[Row], measure: str, name: str) -> str:
    fallen, standing, worse = verdict(rows, measure)
    ours = [f"{getattr(row.quality, measure):.3f}" for row in rows if row.name in OURS.values()]
    start = f"By {name} (`copy`: {' and '.join(dict.fromkeys(ours))})"
    if not fallen and not standing:
        nearest = max(worse, key=lambda row: getattr(row.quality, measure))
        return (
            f"{start} no peer is as good; the nearest is "
            f"{label(nearest.name)} with {getattr(nearest.quality, measure):.3f}."
        )
    found = [f"{start} as good or better, and slower and larger: {_ratios(fallen)}."]
    if standing:
        found.append(f"**As good or better, and faster or smaller: {_ratios(standing)}.**")
    else:
        found.append("No peer of at least its quality is faster or smaller.")
    return " ".join(found)


def _ratios(rows: Sequence[Row]) -> str:
    found = []
    for row in rows:
        size = f", {row.size_over_copy:.2f} times its size" if row.size_over_copy else ""
        found.append(f"{label(row.name)} ({row.over_copy:.2f} times its time{size})")
    return "; ".join(found) or "none"


def verdict_table(result: Mapping[str, Any]) -> str:
    """Every peer beside `copy` in the same engine."""
    rows = joined(result)
    verdicts = [verdict(rows, measure) for measure in MEASURES]
    shown = []
    for row in rows:
        if row.own or row.quality is None:
            continue
        size = f"{row.size_over_copy:.2f}" if row.size_over_copy else "-"
        words = [
            "falls" if row in of.fallen else "**does not fall**" if row in of.standing else "finds less"
            for of in verdicts
        ]
        shown.append([label(row.name), f"{row.over_copy:.2f}", size, *words])
    header = ["peer", "time over copy's", "size over copy's", *(f"by {name}" for name in MEASURES.values())]
    return markdown_table(header, shown)


def instructions_table(result: Mapping[str, Any]) -> str:
    """Millions of instructions of one inference, and over those of `copy` in the same engine."""
    cores = list(result["cores"])
    rows = []
    for name, of in result["encoders"].items():
        for engine, counts in of.items():
            ours = result["encoders"]["copy"][engine]
            values = [f"{counts[core] / 1e6:.1f} ({counts[core] / ours[core]:.2f})" for core in cores]
            rows.append([label(name), engine, *values])
    return markdown_table(["encoder", "engine", *(f"{core}, M (over copy)" for core in cores)], rows)


TABLES: Tables = {
    "machine": (ENCODERS, measured_on),
    "verdict": (ENCODERS, verdict_text),
    "peers": (ENCODERS, verdict_table),
    "cost": (ENCODERS, cost_table),
    "ceilings": (ENCODERS, ceilings_table),
    "speed": (ENCODERS, speed_table),
    "instructions": (INSTRUCTIONS, instructions_table),
}
PICTURES: Tables = {
    "encoders.svg": (ENCODERS, lambda result: quality_chart(joined(result))),
    "roofline.svg": (ENCODERS, roofline_chart),
}
PAGES = [Page(title="encoders.md", tables=TABLES, pictures=PICTURES)]
