"""How well encoders tell copies from look-alikes: edgesim's, and models and hashes of others, side by side.

    python bench/bench_copy_detection.py SETS [--encoder copy similar FOLDER ...] [--run RUN]
        [--peers FOLDER] [--sscd ONNX] [--hashes] [--parts mild lookalikes stacked]
        [--reference-encoder copy|similar|FOLDER] [--limit N]

SETS is a folder of images; copy_detection/benchmark.py says what is made of it. The distilled SSCD and the
TFLite models must be obtained by the user. Each part gives micro-AP, recall at 90 % precision and recall@1,
with the plain similarity and with normalised scores; and one inference is timed, all encoders in turn.
Results go to bench/results/copy/detection.json: what is measured anew replaces that encoder's figures only.
With --limit, or on a folder without the image sets, nothing is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from copy_detection.benchmark import (
    Part,
    Plan,
    describe,
    load_picture,
    make_plan,
    query_picture,
    read_settings,
)
from copy_detection.peers import CopyEncoder, add_arguments, open_encoders, open_own
from copy_detection.scores import embed_all, scores
from harness import RESULTS, describe_machine, machine_line, ratio_in_turn, time_in_turn, write_result
from pages.copy_detection import DETECTION, labels_table, latency_table, part_table

from edgesim.errors import EdgesimError, UsageError

# What the times are divided by, where it is measured in the same run.
_SSCD, _MOBILENET = "SSCD distilled, 224 px square", "mobilenet_v1_0.25_224_quant"


def limited(part: Part, limit: int | None) -> Part:
    """Return the part with `limit` of its queries, those of the lowest seeds."""
    if limit is None:
        return part
    kept = set(sorted(part.queries, key=lambda query: query.seed)[:limit])
    return dataclasses.replace(part, queries=tuple(query for query in part.queries if query in kept))


class Measurement:
    """Embeds the parts of a plan with all encoders; images that parts share are embedded once."""

    def __init__(
        self, root: Path, plan: Plan, encoders: Sequence[CopyEncoder], other: CopyEncoder | None
    ) -> None:
        self._root, self._plan, self._encoders = root, plan, encoders
        # In the asymmetric mode one encoder embeds all references and the background.
        self._galleries = [other] if other else encoders
        self._known: dict[tuple[str, ...], list[Any]] = {}

    def _gallery(self, names: tuple[str, ...], title: str) -> list[Any]:
        """Return the embeddings of images for each encoder of queries."""
        if names not in self._known:
            pictures = (load_picture(self._root / name) for name in names)
            self._known[names] = embed_all(pictures, len(names), self._galleries, title, queries=False)
        found = self._known[names]
        return found if len(found) == len(self._encoders) else found * len(self._encoders)

    def scores(self, name: str, part: Part) -> dict[str, dict[str, Any]]:
        """Return the metrics of a part for each encoder's name."""
        references = self._gallery(part.references, f"{name}: references")
        background = self._gallery(self._plan.background, "background")
        pictures = (query_picture(self._root, query) for query in part.queries)
        queries = embed_all(pictures, len(part.queries), self._encoders, f"{name}: queries", queries=True)
        return {
            encoder.name: scores(part, *embeddings)
            for encoder, *embeddings in zip(self._encoders, queries, references, background, strict=True)
        }


def measure_latency(encoders: Sequence[CopyEncoder], rounds: int) -> dict[str, dict[str, float]]:
    """Return median milliseconds of one inference, all in turn, and medians of the ratios to two peers."""
    runs = {encoder.name: run for encoder in encoders if (run := encoder.invocation())}
    seconds = time_in_turn(runs, rounds)
    found = {}
    for name, values in seconds.items():
        found[name] = {"ms": round(1000 * statistics.median(values), 4)}
        for key, peer in (("over_sscd_224", _SSCD), ("over_mobilenet_v1_0.25_224", _MOBILENET)):
            if peer in seconds:
                found[name][key] = round(ratio_in_turn(values, seconds[peer]), 3)
    return found


def merged(before: dict[str, Any], after: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the encoders' figures, what was measured now in place of what was there."""
    result = dict(before)
    for name, new in after.items():
        old = result.get(name, {"parts": {}})
        result[name] = {**old, **new, "parts": {**old["parts"], **new["parts"]}}
    return result


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path)
    add_arguments(parser)
    parser.add_argument(
        "--reference-encoder",
        help="copy, similar, or the folder of a bundle or a run: embeds all but the queries",
    )
    known = list(read_settings().parts)
    parser.add_argument("--parts", nargs="*", choices=known, default=known, help="none: only the time")
    parser.add_argument("--limit", type=int, help="so many queries a part, for a quick look")
    parser.add_argument("--rounds", type=int, default=100, help="of the measurement of time; 0 leaves it out")
    return parser.parse_args()


def measure(args: argparse.Namespace, plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the figures of each encoder, by name."""
    encoders = open_encoders(args)
    other = open_own(args.reference_encoder)[0] if args.reference_encoder else None
    if other and any(encoder.dim != other.dim for encoder in encoders):
        raise UsageError(f"--reference-encoder: all encoders must give {other.dim} dimensions, as it does")
    suffix = f", references by {other.name}" if other else ""
    machine = machine_line(describe_machine())
    figures: dict[str, dict[str, Any]] = {
        encoder.name: {"bytes": encoder.bytes, "dim": encoder.dim, "parts": {}} for encoder in encoders
    }
    measurement = Measurement(args.sets, plan, encoders, other)
    for name in args.parts:
        for encoder, row in measurement.scores(name, limited(plan.parts[name], args.limit)).items():
            figures[encoder]["parts"][name] = {**row, "machine": machine}
    if args.rounds:
        for encoder, latency in measure_latency(encoders, args.rounds).items():
            figures[encoder]["latency"] = {**latency, "machine": machine}
    return {name + suffix: of for name, of in figures.items()}


def tables(figures: dict[str, dict[str, Any]], parts: Sequence[str]) -> str:
    """Return what was measured now, in Markdown."""
    result = {"encoders": figures}
    shown = [f"{part}\n\n{table(result, part)}" for part in parts for table in (part_table, labels_table)]
    return "\n\n".join([*shown, latency_table(result)])


def main() -> None:
    args = parse_arguments()
    try:
        plan = make_plan(args.sets)
        print(describe(plan), file=sys.stderr)
        figures = measure(args, plan)
    except EdgesimError as error:
        sys.exit(str(error))
    print(tables(figures, args.parts))
    if args.limit is None and plan.fixed:
        path = RESULTS / f"{DETECTION}.json"
        before = json.loads(path.read_text())["encoders"] if path.exists() else {}
        write_result(DETECTION, {"images": describe(plan), "encoders": merged(before, figures)})


if __name__ == "__main__":
    main()
