"""Does an index grow or forget in years of changes? A million of them, one process, memory, disk and recall.

    python bench/bench_churn.py [--entries N] [--changes N] [--batch N] [--folder DIR]

12,000 entries of 128 numbers, more than are searched exactly; then rounds of a removal of 500 entries, the
addition of 500 new ones and a refresh of the search graph, each as `edgesim index remove` and `add` do it,
until 500,000 entries are removed and 500,000 added. Removed are in turn the oldest entries and drawn ones
(seeded). A second, read-only `Index` of the same process stays open and answers queries. At the end the index
is verified, compared with one that is made anew of the same entries, and compacted.

The index lies in DIR (default: the temporary folder). The result goes to bench/results/churn.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import describe_machine, machine_line, markdown_table, milliseconds, write_result
from search.vectors import near
from soak.growth import fit_line

from edgesim.builtin import bundle_folder
from edgesim.bundle import Bundle
from edgesim.metrics import l2_normalise
from edgesim.runtime.bench.resident import resident_mib
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.index import Index
from edgesim.runtime.verify import verify_index

K, QUERIES, SAMPLES = 10, 500, 100
# In clusters as wide as these HNSW misses some of the nearest, so that there is room for better and worse.
CLUSTERS, WIDTH = 500, 1.25
# To what a line is fitted: name -> how the tables call it.
FITTED = {
    "rss_mib": "resident memory, MiB",
    "disk_mb": "index on disk, MB",
    "recall": f"recall@{K}",
    "commit_ms": "a commit, ms",
}


class Photos:
    """Entries without end, with vectors (D,) in clusters, as those of photos are; seeded."""

    def __init__(self, dim: int) -> None:
        self._rng = np.random.default_rng(0)
        self._centres = self._rng.standard_normal((CLUSTERS, dim), dtype=np.float32)
        self._number = 0

    def take(self, count: int) -> list[NewEntry]:
        """Return the next entries."""
        centres = self._centres[self._rng.integers(0, CLUSTERS, count)]
        noise = self._rng.standard_normal(centres.shape, dtype=np.float32)
        vectors = l2_normalise(centres + WIDTH * noise).astype(np.float32)
        start, self._number = self._number, self._number + count
        return [
            NewEntry(
                path=f"/home/pi/photos/line-3/img_{number:07d}.jpg",
                sha256=f"{number:064x}",
                size=400_000,
                mtime_ns=10**18 + number,
                labels={"line": "3", "verdict": "ok"},
                vector=vector,
            )
            for number, vector in enumerate(vectors, start)
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """The index after so many changes.

    `commit_ms` is the median since the sample before; `refresh_ms` the mean, as only some refreshes write.
    """

    changes: int
    rss_mib: float
    disk_mb: float
    recall: float
    commit_ms: float
    refresh_ms: float


def collected_mib() -> float:
    """Return what this process has in memory once its garbage is collected."""
    gc.collect()
    return resident_mib("self") or math.nan


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def recall(index: Index, seed: int) -> float:
    """Return which share of the nearest a search finds, for entries with noise (a cosine of about 0.8)."""
    rng = np.random.default_rng(seed)
    ids, vectors = index.vectors()
    chosen = vectors[rng.choice(len(ids), QUERIES, replace=False)]
    hits = 0
    for query in near(chosen, rng):
        nearest = ids[np.argpartition(-(vectors @ query), K)[:K]]
        hits += len({match.entry_id for match in index.search(query, K)} & set(nearest.tolist()))
    return hits / (K * QUERIES)


def churn(folder: Path, photos: Photos, changes: int, batch: int) -> list[Sample]:
    """Remove and add, by turns, until there were so many changes; return the samples."""
    rng = np.random.default_rng(1)
    rounds = changes // (2 * batch)
    samples: list[Sample] = []
    commits: list[float] = []
    refreshes: list[float] = []
    with Index.open(folder) as writer, Index.open(folder, read_only=True) as reader:
        for number in range(1, rounds + 1):
            ids = writer.vectors()[0]
            gone = ids[:batch] if number % 2 else rng.choice(ids, batch, replace=False)
            new = photos.take(batch)
            commits.append(milliseconds(lambda gone=gone: writer.remove(ids=gone.tolist())))  # type: ignore[misc]
            commits.append(milliseconds(lambda new=new: writer.add(new)))  # type: ignore[misc]
            refreshes.append(milliseconds(writer.refresh_graph))
            if number * SAMPLES // rounds > (number - 1) * SAMPLES // rounds:
                samples.append(
                    Sample(
                        changes=2 * batch * number,
                        recall=recall(reader, number),
                        rss_mib=collected_mib(),
                        disk_mb=megabytes(folder),
                        commit_ms=statistics.median(commits),
                        refresh_ms=statistics.fmean(refreshes),
                    )
                )
                commits, refreshes = [], []
    return samples


def fit(samples: Sequence[Sample], name: str) -> dict[str, float]:
    """Fit a line through the second half of the samples; its slope is per million changes."""
    half = samples[len(samples) // 2 :]
    values = [getattr(sample, name) for sample in half]
    line = fit_line([sample.changes / 1e6 for sample in half], values)
    return {"mean": statistics.fmean(values), "slope": line.slope, "error": line.standard_error}


def make_anew(index: Index, folder: Path, bundle: Bundle) -> dict[str, float]:
    """Make an index of the same entries in one commit; return its size and its graph's recall."""
    vectors = index.vectors()[1]
    new = [
        NewEntry.of(entry, entry.labels, vector)
        for entry, vector in zip(index.entries(), vectors, strict=True)
    ]
    with Index.create(folder, bundle) as other:
        other.add(new)
        other.refresh_graph()
        return {"recall": recall(other, 0), "disk_mb": megabytes(folder)}


def measure(work: Path, entries: int, changes: int, batch: int) -> dict[str, Any]:
    bundle = Bundle.load(bundle_folder("copy"))
    photos, folder = Photos(bundle.spec.embedding_dim), work / "index"
    with Index.create(folder, bundle) as index:
        index.add(photos.take(entries))
        index.refresh_graph()
        before = {"recall": recall(index, 0), "disk_mb": megabytes(folder)}
    start = time.perf_counter()
    samples = churn(folder, photos, changes, batch)
    minutes = (time.perf_counter() - start) / 60
    verification = verify_index(folder)
    with Index.open(folder) as index:
        after = {"recall": recall(index, 0), "disk_mb": megabytes(folder)}
        anew = make_anew(index, work / "anew", bundle)
        index.compact()
        compacted = {"recall": recall(index, 0), "disk_mb": megabytes(folder)}
    return {
        "machine": describe_machine(),
        "entries": entries,
        "batch": batch,
        "minutes": minutes,
        "entries after": verification.entries,
        "damage": verification.damage,
        "files": sorted(path.name for path in folder.iterdir()),
        "indexes": {"before": before, "after": after, "made anew": anew, "compacted": compacted},
        "growth": {name: fit(samples, name) for name in FITTED},
        "samples": [dataclasses.asdict(sample) for sample in samples],
    }


def samples_table(result: Mapping[str, Any]) -> str:
    """Return every tenth sample, as Markdown."""
    rows = [
        (
            f"{sample['changes']:,}",
            f"{sample['rss_mib']:.1f}",
            f"{sample['disk_mb']:.1f}",
            f"{sample['recall']:.4f}",
            f"{sample['commit_ms']:.0f}",
            f"{sample['refresh_ms']:.0f}",
        )
        for sample in result["samples"][9::10]
    ]
    return markdown_table(("changes", *FITTED.values(), "a refresh of the graph, ms"), rows)


def growth_table(result: Mapping[str, Any]) -> str:
    """Return the lines through the second half of the samples, as Markdown."""
    rows = [
        (name, f"{line['mean']:.4g}", f"{line['slope']:+.2g} ± {line['error']:.1g}")
        for name, line in zip(FITTED.values(), result["growth"].values(), strict=True)
    ]
    return markdown_table(("second half", "mean", "slope per 1,000,000 changes"), rows)


def indexes_table(result: Mapping[str, Any]) -> str:
    """Return what churn has left beside a new index of the same entries, as Markdown."""
    rows = [
        (name, f"{facts['recall']:.4f}", f"{facts['disk_mb']:.1f}")
        for name, facts in result["indexes"].items()
    ]
    return markdown_table(("index", f"recall@{K}", "MB"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="A million changes of an index, and what they leave behind.")
    parser.add_argument("--entries", type=int, default=12_000, help="how many there are at any time")
    parser.add_argument("--changes", type=int, default=1_000_000, help="removals and additions, in all")
    parser.add_argument("--batch", type=int, default=500, help="removals, and additions, of one commit")
    parser.add_argument("--folder", type=Path, help="where the index lies (default: the temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as work:
        result = measure(Path(work), args.entries, args.changes, args.batch)
    write_result("churn", result)
    print(machine_line(result["machine"]))
    print(samples_table(result), growth_table(result), indexes_table(result), sep="\n\n")


if __name__ == "__main__":
    main()
