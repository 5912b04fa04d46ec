"""The tables of docs/latency-estimates.md, from bench/results/latency.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness import markdown_table

from pages.page import Page, Tables


def cores_table(result: Mapping[str, Any]) -> str:
    """What the fit found for each core."""
    header = ["core", "cycles an instruction", "cycles a byte"]
    rows = [
        [core, f"{of['cycles_per_instruction']:.2f}", f"{of['cycles_per_byte']:.2f}"]
        for core, of in result["cores"].items()
    ]
    return markdown_table(header, rows)


def terms_table(result: Mapping[str, Any]) -> str:
    """What each of the two terms is good for."""
    header = ["estimated from", "off by, root mean square", "worst"]
    rows = [
        [name, f"x{math.exp(of['spread']):.2f}", f"x{of['worst']:.2f}"]
        for name, of in result["terms"].items()
    ]
    return markdown_table(header, rows)


def left_out_table(result: Mapping[str, Any]) -> str:
    """Every network left out in turn."""
    header = ["left out", "its latencies", "band from the others", "its worst estimate"]
    rows = [
        [network, str(of["latencies"]), f"x/÷ {of['factor']:.2f}", f"off by x{of['worst']:.2f}"]
        for network, of in result["left_out_bands"].items()
    ]
    return markdown_table(header, rows)


def instructions_table(result: Mapping[str, Any]) -> str:
    """How well instructions are estimated from a network's cost."""
    header = ["engine", "networks", "off by, root mean square", "worst"]
    rows = [
        [
            engine,
            str(of["networks"]),
            f"x{math.exp(of['spread']):.2f}",
            f"x{of['worst']:.2f}",
        ]
        for engine, of in result["instructions"].items()
    ]
    return markdown_table(header, rows)


def ranges_table(result: Mapping[str, Any]) -> str:
    """The factors of the ranges."""
    header = ["error of", "range"]
    rows = [
        ["the latency, the instructions being known", f"x/÷ {result['factor']:.2f}"],
        ["the instructions", f"x/÷ {result['instruction_factor']:.2f}"],
        ["both: what edgesim prints", f"x/÷ {result['factor_of_both']:.2f}"],
    ]
    return markdown_table(header, rows)


def copy_table(result: Mapping[str, Any]) -> str:
    """Estimates and counts for the built-in encoder `copy`."""
    header = ["profile", "engine", "estimated ms", "range, ms", "instructions estimated, M", "counted, M"]
    rows = [
        [
            of["profile"],
            of["engine"],
            f"{of['estimated_ms']:.1f}",
            f"{of['low_ms']:.1f} to {of['high_ms']:.1f}",
            f"{of['estimated_instructions'] / 1e6:.1f}",
            f"{of['counted_instructions'] / 1e6:.1f}",
        ]
        for of in result["copy"]
    ]
    return markdown_table(header, rows)


def latencies_table(result: Mapping[str, Any]) -> str:
    """Every published latency, and what comes out for it when its network is left out."""
    header = [
        "board",
        "engine",
        "threads",
        "network",
        "arithmetic",
        "instructions, M",
        "published, ms",
        "left out",
    ]
    rows = [
        [
            of["board"],
            "XNNPACK" if of["engine"] == "litert" else of["engine"],
            str(of["threads"]),
            of["network"],
            of["arithmetic"],
            f"{of['million_instructions']:.1f}",
            f"{of['ms']:g}",
            f"x{of['estimated_over_published']:.2f}",
        ]
        for of in result["latencies"]
    ]
    return markdown_table(header, rows)


TABLES: Tables = {
    "cores": ("latency", cores_table),
    "terms": ("latency", terms_table),
    "left out": ("latency", left_out_table),
    "instructions": ("latency", instructions_table),
    "ranges": ("latency", ranges_table),
    "copy": ("latency", copy_table),
    "latencies": ("latency", latencies_table),
}
PAGES = [Page(title="latency-estimates.md", tables=TABLES)]
