"""What edgesim costs on an emulated core: instructions of its steps, and the peak memory of a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arm import memory
from arm.counting import run_counted, spans
from arm.guest import Guest
from arm.in_guest import DECODE, DONE, EMBED, SEARCH
from arm.setting import Setting

PROGRAM = Path(__file__).with_name("in_guest.py")


def count_embedding(
    of: Setting, guest: Guest, bundle: Path, engine: str, photos: list[Path]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return the guest's embeddings (N, D), what the last one, warm, cost, and the engine's version."""
    out = of.work / f"{guest.core.name}-{engine}.npy"
    printed, marks = run_counted(guest, of.plugin, PROGRAM, "embed", bundle, engine, out, *photos)
    embedding, decoding = spans(marks, EMBED, DONE)[-1], spans(marks, DECODE, EMBED)[-1]
    return np.load(out), {
        "version": printed.strip(),
        "instructions": embedding.instructions,
        "dot_products": embedding.dot_products,
        "decode_instructions": decoding.instructions,
    }


def count_search(of: Setting, guest: Guest, index: Path) -> dict[str, int]:
    """Count one warm search, exactly and through a graph, and how many of 5 answers both give.

    Leaves the graph's files behind.
    """
    printed, marks = run_counted(guest, of.plugin, PROGRAM, "search", index, of.bundle, of.engine, of.camera)
    first, second, shared = printed.split()
    _, exact, _, graph = spans(marks, SEARCH, DONE)
    return {
        "exact_instructions": exact.instructions,
        "graph_instructions": graph.instructions,
        "shared_of_5": int(shared) if (first, second) == ("exact", "hnsw") else 0,
    }


def count_cold_query(of: Setting, guest: Guest, index: Path, engine: str) -> int:
    """Count the instructions from the start of a process to its first answer."""
    _, marks = run_counted(guest, of.plugin, PROGRAM, "cold", index, of.bundle, engine, of.camera)
    return marks[0].instructions


def count_load(of: Setting, guest: Guest, engine: str) -> int:
    """Count the instructions from the start of a process until the engine, without edgesim, has the model."""
    _, marks = run_counted(guest, of.plugin, PROGRAM, "load", of.bundle, engine)
    return marks[0].instructions


def query_peak_mib(of: Setting, guest: Guest, index: Path, engine: str) -> float:
    """Return the peak memory of `edgesim query` in MiB."""
    query = ("-m", "edgesim", "query", index, of.camera, "--encoder", of.bundle, "--engine", engine)
    command = guest.command(*query, options=memory.WINDOW_OPTIONS[guest.core.architecture])
    return round(memory.measure(command, guest.environment()) / 1024, 1)
