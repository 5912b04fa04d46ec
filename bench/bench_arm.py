"""What a query costs on a Raspberry Pi 5's core, in instructions and memory, by engine.

    python bench/bench_arm.py [--kit FOLDER] [--cache FOLDER]      needs what scripts/arm-check installs

Embedding: one warm, decoded picture. Memory: `edgesim query` with an index of 10,000 entries. Cold start:
from the start of a process to its first answer, with an index of 1,000 entries and a photo of 1280x960, over
the start of one that imports the engine and loads the model as its documentation shows. All counted in
instructions of one thread, which are no times. The result goes to bench/results/arm/figures.json.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arm.cores import CORES
from arm.counting import run_counted
from arm.figures import count_cold_query, count_embedding, count_load, query_peak_mib
from arm.pictures import write_pictures
from arm.setting import ENCODER, Setting, describe_emulation, option_parser, prepare, say
from arm.vectors import write_index
from harness import markdown_table, write_result

from edgesim.runtime.embedder import open_bundle

CORE = CORES["cortex-a76"]
# What a process starts with before anything of edgesim's own.
STARTS = {
    "python": "pass",
    "python, numpy": "import numpy",
    "python, numpy, Pillow": "import numpy, PIL.Image, PIL.JpegImagePlugin",
}


def measure(of: Setting) -> dict[str, Any]:
    # With torch, which the tables of what was measured do without.
    from arm.float_bundle import write_float_bundle

    pictures = write_pictures(of.work / "pictures", 3)
    bundle = open_bundle(str(of.bundle))
    small, large = (write_index(of.work / f"index-{count}", bundle, count) for count in (1_000, 10_000))
    float_bundle = write_float_bundle(of.work / "float", ENCODER).folder
    float_guest = of.guest(CORE, "onnxruntime")
    _, baseline = count_embedding(of, float_guest, float_bundle, "onnxruntime", pictures)
    say("float32 counted")
    # The second one, warm.
    _, photo = count_embedding(of, of.guest(CORE), of.bundle, of.engine, [of.camera, of.camera])
    engines = {}
    for engine in (of.engine, *of.engines):
        guest = of.guest(CORE, engine)
        _, embedding = count_embedding(of, guest, of.bundle, engine, pictures)
        # Twice: the first start writes .pyc files.
        cold = [count_cold_query(of, guest, small, engine) for _ in range(2)][-1]
        load = count_load(of, guest, engine)
        engines[engine] = {
            "version": embedding["version"],
            "embedding_instructions": embedding["instructions"],
            "over_float32": embedding["instructions"] / baseline["instructions"],
            "cold_query_instructions": cold,
            "load_instructions": load,
            "cold_over_load": cold / load,
            "query_peak_mib": query_peak_mib(of, guest, large, engine),
        }
        say(f"{engine} measured")
    return {
        "machine": describe_emulation(),
        "core": CORE.name,
        "float32_embedding_instructions": baseline["instructions"],
        "start_instructions": {
            name: run_counted(of.guest(CORE), of.plugin, "-c", code)[1][-1].instructions
            for name, code in STARTS.items()
        },
        "photo_decode_instructions": photo["decode_instructions"],
        "engines": engines,
        "figures": {
            "embedding, best engine, over onnxruntime float32": {
                "value": min(one["over_float32"] for one in engines.values()),
                "limit": 0.5,
            },
            "peak MiB of a query, 10,000 entries": {
                "value": engines[of.engine]["query_peak_mib"],
                "limit": 100,
            },
            "cold start over the engine's own": {"value": engines[of.engine]["cold_over_load"], "limit": 1.3},
        },
    }


def report(result: Mapping[str, Any]) -> str:
    """Return the result as tables in Markdown."""
    figures = [
        [name, f"{of['value']:.3g}", f"<= {of['limit']}", "yes" if of["value"] <= of["limit"] else "no"]
        for name, of in result["figures"].items()
    ]
    header = ["engine", "embedding, M", "over float32", "load, M", "cold query, M", "ratio", "peak, MiB"]
    rows = [
        [
            f"{engine} {of['version']}",
            f"{of['embedding_instructions'] / 1e6:.2f}",
            f"{of['over_float32']:.2f}",
            f"{of['load_instructions'] / 1e6:.0f}",
            f"{of['cold_query_instructions'] / 1e6:.0f}",
            f"{of['cold_over_load']:.2f}",
            f"{of['query_peak_mib']:.0f}",
        ]
        for engine, of in result["engines"].items()
    ]
    counts = {**result["start_instructions"], "decoding the photo, warm": result["photo_decode_instructions"]}
    starts = [[name, f"{count / 1e6:.0f}"] for name, count in counts.items()]
    return "\n\n".join(
        [
            markdown_table(["figure", "measured", "target", "reached"], figures),
            markdown_table(header, rows),
            markdown_table(["what", "instructions, M"], starts),
        ]
    )


def main() -> None:
    args = option_parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(prepare(Path(folder), args.cache, args.kit))
    write_result("arm/figures", result)
    print(report(result))


if __name__ == "__main__":
    main()
