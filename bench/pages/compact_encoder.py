"""The tables of docs/compact-encoder.md, from bench/results/compact.

Each function takes what the benchmark of the same name wrote, and returns Markdown.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from harness import markdown_table

from pages.page import Page, Tables

_METRICS = ("precision_at_1", "precision_at_10", "r_precision", "map_at_r")
_BYTES = ("float_bytes", "int8_onnx_bytes", "int8_tflite_bytes")


def models_table(result: Mapping[str, Any]) -> str:
    """What each architecture costs."""
    header = ["model", "input", "parameters", "million MACs", "float, kB", "int8 ONNX, kB", "int8 TFLite, kB"]
    rows = [
        [
            name,
            f"{of['input_size']} px",
            f"{of['parameters']:,}",
            f"{of['multiply_accumulates'] / 1e6:.2f}",
            *(f"{of[key] / 1e3:,.0f}" for key in _BYTES),
        ]
        for name, of in result["models"].items()
    ]
    return markdown_table(header, rows)


def figures_table(result: Mapping[str, Any]) -> str:
    """Size and quality of the encoders for the three data sets, in percent."""
    header = ["data set", "parameters", "model", "kB", "precision@1", "precision@10", "R-precision", "mAP@R"]

    def row(start: list[str], model: str, of: Mapping[str, Any]) -> list[str]:
        size = f"{of['bytes'] / 1e3:.0f}" if "bytes" in of else ""
        return [*start, model, size, *(f"{100 * of[key]:.2f}" for key in _METRICS)]

    rows = []
    for name, of in result["data_sets"].items():
        rows.append(row([name, f"{of['parameters']:,}"], "float", of["float"]))
        rows.append(row(["", ""], "int8 ONNX, onnxruntime", of["onnxruntime"]))
        rows.append(row(["", ""], "int8 TFLite, LiteRT", of["litert"]))
    if "resnet8" in result:
        rows.append(row(["cifar10", ""], "MLPerf Tiny ResNet-8, int8 TFLite, LiteRT", result["resnet8"]))
    return markdown_table(header, rows)


def latency_table(result: Mapping[str, Any]) -> str:
    """Milliseconds of the encoder for CIFAR-10 and of ResNet-8, and the median of their ratios."""
    rows = [
        [engine, f"{of['edgesim_ms']:.3f}", f"{of['resnet8_ms']:.3f}", f"{of['ratio']:.2f}"]
        for engine, of in result["latency"].items()
    ]
    return markdown_table(["interpreter", "edgesim, ms", "ResNet-8, ms", "ratio"], rows)


def _spread(result: Mapping[str, Any], cell: str) -> str:
    of = result["results"].get(cell)
    if of is None:
        return ""
    spread = f"± {100 * of['deviation']:.1f}" if len(of["seeds"]) > 1 else "(one seed)"
    return f"{100 * of['mean']:.1f} {spread}"


def compared_table(result: Mapping[str, Any]) -> str:
    """precision@1 in percent of the encoders that were trained on all data sets."""
    cells = [cell.split("-") for cell in result["results"]]
    columns = list(dict.fromkeys((dataset, loss) for dataset, loss, _ in cells))
    models = dict.fromkeys(model for dataset, _, model in cells if dataset != "cifar10")
    rows = [[model, *(_spread(result, f"{d}-{loss}-{model}") for d, loss in columns)] for model in models]
    return markdown_table(["model", *(f"{dataset}, {loss}" for dataset, loss in columns)], rows)


def ablations_table(result: Mapping[str, Any]) -> str:
    """precision@1 in percent of every architecture on CIFAR-10, best first."""
    prefix = "cifar10-ce-"
    cells = [cell for cell in result["results"] if cell.startswith(prefix)]
    cells.sort(key=lambda cell: -result["results"][cell]["mean"])
    rows = [[cell.removeprefix(prefix), _spread(result, cell)] for cell in cells]
    return markdown_table(["model", "precision@1"], rows)


def fine_tuning_table(result: Mapping[str, Any]) -> str:
    """precision@1 before and after, of each seed and on average."""

    def shown(runs: list[Mapping[str, Any]], key: str) -> str:
        values = [run[key] for run in runs]
        return f"{', '.join(f'{value:.3f}' for value in values)}; mean {statistics.mean(values):.3f}"

    rows = [
        [
            name,
            str(runs[0]["test_images"]),
            shown(runs, "precision_at_1_before"),
            shown(runs, "precision_at_1"),
            ", ".join(f"{run['best_epoch']} of {run['epochs']}" for run in runs),
        ]
        for name, runs in result["runs"].items()
    ]
    return markdown_table(["set", "test photos", "before", "after", "best epoch"], rows)


TABLES: Tables = {
    "models": ("compact/models", models_table),
    "figures": ("compact/figures", figures_table),
    "latency": ("compact/figures", latency_table),
    "compared": ("compact/study", compared_table),
    "ablations": ("compact/study", ablations_table),
    "fine_tuning": ("compact/fine_tuning", fine_tuning_table),
}
PAGES = [Page(title="compact-encoder.md", tables=TABLES)]
