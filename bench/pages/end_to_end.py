"""The tables and the picture of docs/end-to-end.md, from bench/results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charts.soak import soak_chart
from harness import machine_line, markdown_table

from pages.page import Page, Tables
from pages.soak import growth_table, soak_line

NAME = "end_to_end"
_TOLD = (
    *("ai-edge-litert", "edgesim", "faiss-cpu", "imagededup", "numpy", "onnxruntime", "pillow", "torch"),
    "torchvision",
)
_HEADER = [
    "program",
    "cores",
    "index, s",
    "of CPU",
    "photos/s",
    "peak, MiB",
    "queries, s",
    "of CPU",
    "peak, MiB",
    "installed, MiB",
    "index on disk, MiB",
    "recall@1, mild edits",
    "hard edits",
]


def end_to_end_table(result: Mapping[str, Any]) -> str:
    """Time, memory, size and recall@1 of every program, on one core first."""
    rows = [
        [
            of["program"],
            str(of["cores"]),
            f"{of['index']['seconds']:.0f}",
            f"{of['index']['cpu_seconds']:.0f}",
            f"{of['index']['photos_per_second']:.0f}",
            f"{of['index']['peak_mib']:.0f}",
            f"{of['query']['seconds']:.1f}",
            f"{of['query']['cpu_seconds']:.1f}",
            f"{of['query']['peak_mib']:.0f}",
            f"{of['installed_mib']:.0f}",
            f"{of['store_mib']:.1f}",
            *(f"{of['recall_at_1'][kind]:.3f}" if of["recall_at_1"] else "-" for kind in ("mild", "hard")),
        ]
        for of in sorted(result["programs"], key=lambda of: int(of["cores"]))
    ]
    return markdown_table(_HEADER, rows)


def edits_table(result: Mapping[str, Any]) -> str:
    """Recall@1 by edit, mild ones first, of every program that was judged."""
    judged = {of["program"]: of["recall_at_1"] for of in result["programs"] if of["recall_at_1"]}
    edits = [edit for edit in next(iter(judged.values())) if edit not in ("all", "mild", "hard")]
    rows = [[edit, *(f"{recall[edit]:.2f}" for recall in judged.values())] for edit in edits]
    return markdown_table(["edit", *judged], rows)


def programs_text(result: Mapping[str, Any]) -> str:
    """Return the table, and what was measured on which machine, with what."""
    machine = {**result["machine"], "packages": _versions(result)}
    return (
        f"{end_to_end_table(result)}\n\n{result['photos']:,} photos, {result['photos_mib']:.0f} MiB; "
        f"{result['queries']:,} queries. {machine_line(machine)}."
    )


def _versions(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions that matter, each with all that the environments have of it."""
    found: dict[str, set[str]] = {}
    for of in result["programs"]:
        for package, version in of["packages"].items():
            name = package.lower().replace("_", "-")
            if name in _TOLD:
                found.setdefault(name, set()).add(version)
    return {name: " and ".join(sorted(versions)) for name, versions in sorted(found.items())}


def soak_text(result: Mapping[str, Any]) -> str:
    """Return the table of growth, and what the run did on which machine."""
    return f"{growth_table(result)}\n\n{soak_line(result)}. {machine_line(result['machine'])}."


TABLES: Tables = {
    "programs": (NAME, programs_text),
    "edits": (NAME, edits_table),
    "soak": ("soak", soak_text),
}
PICTURES: Tables = {"soak.svg": ("soak", soak_chart)}
PAGES = [Page(title="end-to-end.md", tables=TABLES, pictures=PICTURES)]
