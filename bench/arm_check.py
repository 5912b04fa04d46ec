"""The deployment kit on emulated ARM cores: installed, tested, used, and compared with this machine.

    scripts/arm-check [--kit FOLDER] [--cache FOLDER] [--images 1000] [--record]

Ends with status 1, and says what did not hold, if a core fails in any of it. With --record the figures go to
bench/results/arm/check.json. docs/arm.md says what is emulated and what that proves.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from arm.comparison import agreement, differing_answers, embed_photos, indexed_vectors
from arm.cores import ARM64_CORES, Core
from arm.figures import count_cold_query, count_embedding, count_search, query_peak_mib
from arm.pictures import write_pictures
from arm.setting import Setting, describe_emulation, option_parser, prepare, say
from harness import markdown_table, write_result
from numpy.typing import NDArray

from edgesim.capacity import usable_cores
from edgesim.engines import ENGINES
from edgesim.errors import EdgesimError
from edgesim.runtime.embedder import Embedder, open_bundle

# How many pictures are looked up, go through the engines that the kit does not hold, and are counted.
QUERIES, SAMPLE, COUNTED = 20, 24, 3
PEAK_MIB_MAX = 100
# A search by graph is approximate.
SHARED_MIN = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoreCheck:
    """The check of one core.

    Attributes:
        core: the core.
        of: the installed kit.
        pictures: to index and to look up.
        failures: what did not hold, so far.
    """

    core: Core
    of: Setting
    pictures: list[Path]
    failures: list[str] = dataclasses.field(default_factory=list)

    def use_kit(self) -> dict[str, Any]:
        """Do what the kit's user does, and compare; returns the figures."""
        of, guest = self.of, self.of.guest(self.core)
        self._edgesim("bundle", "verify", of.bundle, "--engine", of.engine)
        self._say("self-test passed")
        index = self._make_index()
        self._query(index)
        peak = query_peak_mib(of, guest, index, of.engine)
        self._expect(peak <= PEAK_MIB_MAX, f"a query's peak memory is {peak} MiB, limit {PEAK_MIB_MAX}")
        engines = {of.engine: self._compare_index(index)}
        cold = count_cold_query(of, guest, index, of.engine)
        # The last one, since it leaves a graph behind.
        search = count_search(of, guest, index)
        shared = search["shared_of_5"]
        self._expect(shared >= SHARED_MIN, f"graph and exact search share {shared} of 5 answers")
        self._say("compared and counted")
        return {
            "board": self.core.board,
            "engines": engines,
            "cold_query_instructions": cold,
            "query_peak_mib": peak,
            "search": search,
        }

    def _edgesim(self, *arguments: str | Path) -> str:
        # As the kit's own launcher does.
        return self.of.guest(self.core).run("-I", "-m", "edgesim", *arguments)

    def _say(self, text: str) -> None:
        say(f"{self.core.name}: {text}")

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.failures.append(f"{self.core.name}: {what}")
            self._say(f"FAILED: {what}")

    def _make_index(self) -> Path:
        index = self.of.work / f"index-{self.core.name}"
        encoder = ("--encoder", self.of.bundle, "--engine", self.of.engine)
        report = json.loads(self._edgesim("index", "add", index, self.pictures[0].parent, *encoder, "--json"))
        entries, expected = report["entries"], len(self.pictures)
        self._expect(entries == expected, f"{entries} entries in the index, expected {expected}")
        self._say(f"{entries} pictures in the index")
        return index

    def _query(self, index: Path) -> None:
        answers = self._edgesim("query", index, *self.pictures[:QUERIES], self.of.camera, "--json")
        for query in differing_answers(answers, index, self.of.bundle, self.of.engine):
            self._expect(False, f"{query}: answered otherwise than on this machine")

    def _compare_index(self, index: Path) -> dict[str, Any]:
        of, guest = self.of, self.of.guest(self.core)
        _, counted = count_embedding(of, guest, of.bundle, of.engine, self.pictures[:COUNTED])
        vectors = indexed_vectors(index, self.pictures)
        return counted | self._judge(of.engine, vectors, self.pictures, counted["version"])

    def compare_engines(self) -> dict[str, Any]:
        """Compare the embeddings of the engines that the kit does not hold; returns their figures."""
        # From all over the list: every photograph and edit.
        sample = self.pictures[:: max(1, len(self.pictures) // SAMPLE)][:SAMPLE]
        figures = {}
        for engine in self.of.engines:
            guest = self.of.guest(self.core, engine)
            embeddings, counted = count_embedding(self.of, guest, self.of.bundle, engine, sample)
            figures[engine] = counted | self._judge(engine, embeddings, sample, counted["version"])
        return figures

    def _judge(
        self, engine: str, embeddings: NDArray[np.float32], photos: list[Path], version: str
    ) -> dict[str, Any]:
        same = agreement(embeddings, reference(self.of.bundle, engine, tuple(photos)))
        here = importlib.metadata.version(ENGINES[engine].package)
        holds = same.holds(engine, version == here)
        self._expect(holds, f"{engine} {version} computes otherwise than {here} on this machine: {same}")
        return {"compared_with": here, **dataclasses.asdict(same)}


@functools.cache
def reference(bundle: Path, engine: str, photos: tuple[Path, ...]) -> NDArray[np.float32]:
    """Return this machine's embeddings."""
    return embed_photos(Embedder(open_bundle(str(bundle)), engine), list(photos))


def report(cores: dict[str, Any]) -> str:
    """Return the figures as tables in Markdown."""
    header = ["core", "engine", "compared", "bit-equal", "lowest cosine", "M instructions", "dot products, M"]
    engines = [
        [
            core,
            f"{engine} {of['version']}",
            str(of["count"]),
            str(of["equal"]),
            f"{of['lowest_cosine']:.4f}",
            f"{of['instructions'] / 1e6:.2f}",
            f"{of['dot_products'] / 1e6:.2f}",
        ]
        for core, figures in cores.items()
        for engine, of in figures["engines"].items()
    ]
    columns = ["core", "decoding, M", "exact search, M", "graph search, M", "cold query, M", "its peak, MiB"]
    rows = [
        [
            core,
            f"{next(iter(of['engines'].values()))['decode_instructions'] / 1e6:.2f}",
            f"{of['search']['exact_instructions'] / 1e6:.2f}",
            f"{of['search']['graph_instructions'] / 1e6:.2f}",
            f"{of['cold_query_instructions'] / 1e6:.0f}",
            f"{of['query_peak_mib']:.0f}",
        ]
        for core, of in cores.items()
    ]
    return f"{markdown_table(header, engines)}\n\n{markdown_table(columns, rows)}"


def run_all(checks: list[CoreCheck]) -> dict[str, Any]:
    """Run the checks, as many at a time as there are CPUs; returns core -> figures."""
    for check in checks:
        check.of.guest(check.core)  # lays its prefix, which both of its parts use
    with ThreadPoolExecutor(usable_cores()) as pool:
        # The long parts first, so that the short ones fill up.
        used = [pool.submit(check.use_kit) for check in checks]
        compared = [pool.submit(check.compare_engines) for check in checks]
    cores = {check.core.name: future.result() for check, future in zip(checks, used, strict=True)}
    for check, future in zip(checks, compared, strict=True):
        cores[check.core.name]["engines"] |= future.result()
    return cores


def main() -> int:
    parser = option_parser(__doc__)
    parser.add_argument("--images", type=int, default=1000, help="how many pictures the index gets")
    parser.add_argument("--record", action="store_true", help="write bench/results/arm/check.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        setting = prepare(work, args.cache, args.kit)
        pictures = write_pictures(work / "pictures", args.images)
        checks = [CoreCheck(core=core, of=setting, pictures=pictures) for core in ARM64_CORES]
        cores = run_all(checks)
    print(report(cores))
    if args.record:
        write_result("arm/check", {"machine": describe_emulation(), "images": args.images, "cores": cores})
    failures = [failure for check in checks for failure in check.failures]
    for failure in failures:
        print(f"arm-check: {failure}", file=sys.stderr)
    say("failed" if failures else "all cores passed")
    return int(bool(failures))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgesimError as error:
        sys.exit(f"arm-check: {error}")
