"""Does an index that is used for hours slow down, take more memory, or answer wrongly?

    python bench/bench_soak.py [--seconds 3600] [--record]

One process adds photos to an index, queries and removes them, over and over, through `Matcher`; every so
often the command line does the same with the same index, as another program may. Every answer is compared
with an exact one that was found without the index. The run is cut into 60 windows; at the end of each the
process's resident memory and the index's size are read, and the window's median latencies and the CPU time of
a round are kept. Lines are fitted to all windows but the first 10, which fill the caches.

The exit status is 1 if an answer was wrong, or if memory is not shown to grow by less than 4 MiB over the
run. `--record` writes bench/results/soak.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bench_cli import draw_photos, edgesim_command
from harness import describe_machine, machine_line, write_result
from pages.soak import growth_table, soak_line
from soak.growth import fit_growth
from soak.oracle import FloatArray, Oracle

from edgesim.metrics import l2_normalise
from edgesim.runtime.bench.resident import resident_mib
from edgesim.runtime.entry import NewEntry, entry_path
from edgesim.runtime.matcher import Matcher

WINDOWS, WARM_UP = 60, 10
# The command line takes its turn in each window of this number.
COMMAND_LINE_EVERY = 4
# Photos that come and go, half of them being there at any time, and entries that stay. Up to 10,000 entries a
# search is exact, so that each answer is either right or wrong.
PHOTOS, STAYING, SEED = 128, 5_000, 0
AT_ONCE, K = 4, 5
MEMORY_BOUND_MIB = 4.0
# A latency that grows by less over the whole run is left alone.
LATENCY_BOUND = 0.1
Photos = Sequence[Path]


class Soak:
    """The index, what is known of it, and the latencies in milliseconds since the last window."""

    def __init__(self, folder: Path, photos: Photos) -> None:
        self._folder, self._photos = folder, photos
        self._rng = np.random.default_rng(SEED)
        self.matcher = Matcher(folder, create=True)
        self.matcher.add(photos)
        self._oracle = self._with_staying_entries()
        self._there = list(photos)
        self._away: list[Path] = []
        self._remove(len(photos) // 2)
        self.latencies: defaultdict[str, list[float]] = defaultdict(list)
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.wrong: list[str] = []
        self._cpu_seconds = time.process_time()

    def _with_staying_entries(self) -> Oracle:
        dim = self.matcher.embedder.bundle.spec.embedding_dim
        vectors = l2_normalise(self._rng.standard_normal((STAYING, dim), dtype=np.float32))
        names = [f"/staying/{number:05d}.jpg" for number in range(STAYING)]
        entries = [
            NewEntry(path=name, sha256=f"{number:064x}", size=1, mtime_ns=1, labels={}, vector=vector)
            for number, (name, vector) in enumerate(zip(names, vectors, strict=True))
        ]
        self.matcher.index.add(entries)
        own: list[FloatArray] = [self.matcher.embedder.embed_image(photo) for photo in self._photos]
        names += [entry_path(photo) for photo in self._photos]
        oracle = Oracle(names, np.concatenate([vectors, np.stack(own)]))
        oracle.set_present(names, True)
        return oracle

    def round(self) -> None:
        """Remove, add and query a few photos through the API."""
        with self._timed("remove"):
            self._remove(AT_ONCE)
        with self._timed("add"):
            self._add(AT_ONCE)
        for photo in self._drawn(self._photos, AT_ONCE):
            with self._timed("query"):
                found = self.matcher.query(photo, K)
            self._check(photo, [(match.path, match.similarity) for match in found])

    def command_line_round(self) -> None:
        """Do the same with one photo by the command line, while the index is open here."""
        (old,), (new,) = self._drawn(self._there, 1), self._drawn(self._away, 1)
        self._run("index", "remove", str(self._folder), str(old))
        self._move(old, there=False)
        self._run("index", "add", str(self._folder), str(new))
        self._move(new, there=True)
        with self._timed("edgesim query"):
            report = self._run("query", str(self._folder), str(new), "-k", str(K), "--json")
        (answer,) = json.loads(report)["queries"]
        self._check(new, [(match["path"], match["similarity"]) for match in answer["matches"]])

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            [*edgesim_command(), *arguments], capture_output=True, text=True, check=True
        ).stdout

    def _remove(self, count: int) -> None:
        chosen = self._drawn(self._there, count)
        self.matcher.index.remove(chosen)
        for photo in chosen:
            self._move(photo, there=False)

    def _add(self, count: int) -> None:
        chosen = self._drawn(self._away, count)
        self.matcher.add_files(chosen)
        for photo in chosen:
            self._move(photo, there=True)

    def _move(self, photo: Path, *, there: bool) -> None:
        source, target = (self._away, self._there) if there else (self._there, self._away)
        source.remove(photo)
        target.append(photo)
        self._oracle.set_present([entry_path(photo)], there)

    def _drawn(self, photos: Photos, count: int) -> list[Path]:
        return [photos[row] for row in self._rng.choice(len(photos), count, replace=False)]

    def _check(self, photo: Path, answer: Sequence[tuple[str, float]]) -> None:
        if not self._oracle.is_right(entry_path(photo), answer, K):
            self.wrong.append(f"{photo.name}: {answer}")
        if len(self.matcher.index) != self._oracle.count():
            self.wrong.append(f"{len(self.matcher.index)} entries, expected {self._oracle.count()}")

    @contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.latencies[operation].append(1e3 * (time.perf_counter() - start))
        self.counts[operation] += 1

    def window(self) -> dict[str, float]:
        """Return what the window that ends now has to tell, and begin another."""
        sizes = [file.stat().st_size for file in self._folder.iterdir() if file.is_file()]
        sample = {"memory MiB": resident_mib("self") or math.nan, "index MiB": sum(sizes) / 2**20}
        sample |= {f"{name} ms": statistics.median(values) for name, values in self.latencies.items()}
        now = time.process_time()
        sample["round CPU ms"] = 1e3 * (now - self._cpu_seconds) / len(self.latencies["add"])
        self._cpu_seconds = now
        self.latencies.clear()
        return sample


def run(work: Path, seconds: float) -> dict[str, Any]:
    """Soak for so many seconds; return samples, counts and wrong answers."""
    # In a process of its own: the memory that drawing takes is not this one's.
    subprocess.run([sys.executable, __file__, "--draw", str(work / "photos")], check=True)
    soak = Soak(work / "index", sorted((work / "photos").iterdir()))
    samples: list[dict[str, float]] = []
    start = time.monotonic()
    for number in range(1, WINDOWS + 1):
        if number % COMMAND_LINE_EVERY == 0:
            soak.command_line_round()
        soak.round()
        while time.monotonic() - start < number * seconds / WINDOWS:
            soak.round()
        samples.append({"seconds": time.monotonic() - start, **soak.window()})
    soak.matcher.close()
    return {"samples": samples, "operations": dict(soak.counts), "wrong": soak.wrong}


def growths(samples: Sequence[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Return, by what was sampled, the line after the warm-up, the bound per hour and the verdict."""
    kept = samples[WARM_UP:]
    found = {}
    for name in sorted({name for sample in kept for name in sample} - {"seconds"}):
        rows = [(sample["seconds"], sample[name]) for sample in kept if name in sample]
        line = fit_growth(*zip(*rows, strict=True))
        usual = statistics.median(value for _, value in rows)
        bound = (MEMORY_BOUND_MIB if name.endswith("MiB") else LATENCY_BOUND * usual) / line.hours
        found[name] = {
            **dataclasses.asdict(line),
            "bound": bound,
            "verdict": line.verdict(bound),
        }
    return found


def failures(result: Mapping[str, Any]) -> list[str]:
    """Return what the run fails by, a line each."""
    memory = result["growth"]["memory MiB"]
    found = [f"wrong: {what}" for what in result["wrong"][:5]]
    if memory["verdict"] != "within":
        found.append(
            f"memory: {memory['slope']:+.1f} ± {memory['standard_error']:.1f} MiB/hour; expected less than "
            f"{memory['bound']:.1f} for sure; see which of add, query and remove holds on to it"
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600, help="how long (default: 3600)")
    parser.add_argument("--record", action="store_true", help="write bench/results/soak.json")
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.draw:
        draw_photos(args.draw, PHOTOS)
        return 0
    with tempfile.TemporaryDirectory() as work:
        found = run(Path(work), args.seconds)
    result = {
        "machine": describe_machine(),
        "seconds": args.seconds,
        "seed": SEED,
        "photos": PHOTOS,
        "entries": STAYING + PHOTOS // 2,
        **found,
        "growth": growths(found["samples"]),
    }
    if args.record:
        write_result("soak", result)
    print(machine_line(result["machine"]), soak_line(result), growth_table(result), sep="\n\n")
    failed = failures(result)
    print("\n".join(failed), file=sys.stderr, end="\n" if failed else "")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
