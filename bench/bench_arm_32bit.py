"""The kit for a 32-bit system on an emulated 32-bit core: installed, and an index of 10,000 vectors searched.

    python bench/bench_arm_32bit.py [--kit FOLDER] [--cache FOLDER]      needs what scripts/arm-check installs

User emulation. The indexes are made on this machine, so the larger one has a search graph of 64-bit words: it
must be passed over for the exact search, with a line that says what to do, and doing that must help. Ends
with status 1 if not. The result goes to bench/results/arm/32bit.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arm.comparison import agreement, embed_photos
from arm.cores import CORES
from arm.figures import count_cold_query, count_embedding, query_peak_mib
from arm.pictures import write_pictures
from arm.setting import Setting, describe_emulation, option_parser, prepare, say
from arm.vectors import FIRST_PATH, write_index
from harness import markdown_table, write_result

from edgesim.runtime.embedder import Embedder, open_bundle
from edgesim.runtime.index import EXACT_LIMIT

PROFILE, CORE = "pi-zero-2w-32bit", CORES["cortex-a7"]
# With a graph.
_LARGER = EXACT_LIMIT + 2_000


def edgesim(of: Setting, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the installed command in the guest."""
    guest = of.guest(CORE)
    command = guest.command("-I", "-m", "edgesim", *arguments)
    return subprocess.run(command, env=guest.environment(), capture_output=True, text=True, check=True)


def finds_the_photo(of: Setting, index: Path) -> tuple[bool, str]:
    """Return whether a query finds the photo that was put first, and what it says beside the answer."""
    done = edgesim(of, "query", index, of.camera, "--encoder", of.bundle, "-k", "1")
    best = done.stdout.splitlines()[-1].split()
    return best[3] == FIRST_PATH and float(best[2]) > 0.99, done.stderr.strip()


def measure(of: Setting) -> dict[str, Any]:
    bundle = open_bundle(str(of.bundle))
    here = Embedder(bundle, of.engine)
    wanted = here.embed_image(of.camera)
    index = write_index(of.work / "index", bundle, EXACT_LIMIT, wanted)
    larger = write_index(of.work / "larger", bundle, _LARGER, wanted)
    say("indexes made")
    pictures = write_pictures(of.work / "pictures", 8)
    embeddings, embedding = count_embedding(of, of.guest(CORE), of.bundle, of.engine, pictures)
    say("embeddings counted")
    found, said = finds_the_photo(of, index)
    found_exactly, warning = finds_the_photo(of, larger)
    say(f"64-bit graph: {warning}")
    edgesim(of, "index", "rebuild", larger)
    found_by_graph, said_then = finds_the_photo(of, larger)
    return {
        "machine": describe_emulation(),
        "core": CORE.name,
        "entries": EXACT_LIMIT,
        "embedding": embedding,
        "lowest_cosine": agreement(embeddings, embed_photos(here, pictures)).lowest_cosine,
        "cold_query_instructions": count_cold_query(of, of.guest(CORE), index, of.engine),
        "query_peak_mib": query_peak_mib(of, of.guest(CORE), index, of.engine),
        "holds": {
            "the photo is found among 10,000, and nothing else said": found and not said,
            "a graph of 64-bit words is passed over, and the photo found": found_exactly,
            "a line says how to build a graph": f"edgesim index rebuild {larger}" in warning,
            "then the photo is found, and nothing else said": found_by_graph and not said_then,
        },
    }


def report(result: Mapping[str, Any]) -> str:
    """Return the result as tables in Markdown."""
    embedding = result["embedding"]
    rows = [
        [f"one embedding, tflite-runtime {embedding['version']}", f"{embedding['instructions'] / 1e6:.1f} M"],
        ["lowest cosine to the same engine on x86", f"{result['lowest_cosine']:.4f}"],
        ["cold query, 10,000 entries", f"{result['cold_query_instructions'] / 1e6:.0f} M"],
        ["its peak memory", f"{result['query_peak_mib']:.0f} MiB"],
        *([what, "yes" if holds else "no"] for what, holds in result["holds"].items()),
    ]
    return markdown_table(["what", "measured"], rows)


def main() -> int:
    args = option_parser(__doc__, PROFILE).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(prepare(Path(folder), args.cache, args.kit, PROFILE, CORE))
    print(report(result))
    write_result("arm/32bit", result)
    return int(not all(result["holds"].values()))


if __name__ == "__main__":
    sys.exit(main())
