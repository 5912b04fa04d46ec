"""The tables of docs/image-decoding.md, from bench/results/decode.json and reduced_decode.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import machine_line, markdown_table

from pages.page import Page, Tables

_WAYS = {
    "4": "reduced, at least 4 times the input",
    "2": "reduced, at least 2 times: edgesim",
    "1": "reduced, at least 1 time",
    "saved again": "whole, saved once more at quality 90",
}
_SIDES = {"whole": "whole", "2": "reduced"}


def cost_table(result: Mapping[str, Any]) -> str:
    """What decoding and a query take, by the size of the photo."""
    rows = result["rows"]
    header = ["in one process", *(f"{row['megapixels']:g} MP, ms (ratio)" for row in rows)]
    lines = [
        [name, *(f"{row['tasks'][name]['ms']:.1f} ({row['tasks'][name]['ratio']:.2f})" for row in rows)]
        for name in rows[0]["tasks"]
    ]
    sizes = ", ".join(f"{row['mean_bytes'] / 1e6:.2f}" for row in rows)
    note = (
        f"{machine_line(result['machine'])}. {result['engine']}, one thread; {result['photos']} photos of "
        f"{sizes} MB on average, {result['rounds']} rounds in turn, {result['entries']:,} entries. Ratio: "
        "the median of those to Pillow's decode at whole size in the same round."
    )
    return f"{markdown_table(header, lines)}\n\n{note}"


def processes_table(result: Mapping[str, Any]) -> str:
    """What whole processes take."""
    header = ["whole process, a 12-megapixel JPEG", "ms", "ratio"]
    rows = [[name, f"{of['ms']:.0f}", f"{of['ratio']:.2f}"] for name, of in result["processes"].items()]
    return markdown_table(header, rows)


def changes_table(result: Mapping[str, Any]) -> str:
    """What reduced scale changes in pixels and embeddings."""
    header = ["photos", "decoded"]
    for name in result["changes"][0]["ways"][0]["encoders"]:
        header += [f"`{name}`: changed, levels", "mean, lowest cosine"]
    rows = []
    for group in result["changes"]:
        for way in group["ways"]:
            row = [f"{group['photos']}, {group['count']}", _WAYS[way["way"]]]
            for of in way["encoders"].values():
                row.append(f"{of['photos_changed']}, {of['mean_levels']:.2f}")
                row.append(f"{of['mean_cosine']:.4f}, {of['lowest_cosine']:.4f}")
            rows.append(row)
    return markdown_table(header, rows)


def lookups_table(result: Mapping[str, Any]) -> str:
    """What reduced scale changes in what is found."""
    encoders = result["lookups"]["encoders"]
    header = ["index decoded", "queries decoded"]
    for name in encoders:
        header += [f"`{name}`: recall@1", "another answer"]
    rows = []
    for found in zip(*encoders.values(), strict=True):
        row = [_SIDES[found[0]["index"]], _SIDES[found[0]["query"]]]
        for of in found:
            row += [f"{of['recall_at_1']:.3f}", str(of["other_answer"])]
        rows.append(row)
    of = result["lookups"]
    reduced = " and ".join(f"{count} for `{name}`" for name, count in of["queries_reduced"].items())
    note = (
        f"{of['references']} photos, {of['others']:,} other images; large enough to be reduced are of the "
        f"{of['references']} copies {reduced}."
    )
    return f"{markdown_table(header, rows)}\n\n{note}"


TABLES: Tables = {
    "cost": ("decode", cost_table),
    "processes": ("decode", processes_table),
    "changes": ("reduced_decode", changes_table),
    "lookups": ("reduced_decode", lookups_table),
}
PAGES = [Page(title="image-decoding.md", tables=TABLES)]
