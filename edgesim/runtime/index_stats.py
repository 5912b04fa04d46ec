"""Figures about an index."""

from __future__ import annotations

from typing import Any

from edgesim.runtime.database import ENTRIES_FILE
from edgesim.runtime.graph import DEFAULTS, GRAPH_FACTS_FILE, GRAPH_FILE, graph_bytes, hnswlib_installed
from edgesim.runtime.graph_cache import GraphCache
from edgesim.runtime.graph_settings import read_graph_settings
from edgesim.runtime.live_graph import load_live_graph
from edgesim.runtime.reader import EntryReader


def index_stats(store: EntryReader, cache: GraphCache, exact_limit: int) -> dict[str, Any]:
    """Return figures about an index, in plain JSON types.

    `entries`, `embedding_dim`, `encoder`, `encoder_id`, `key_model` and `key_model_id` (None where the
    vectors come from the encoder), `bundle`, `generation` (commits that changed the vectors), `search`
    (`exact` or `hnsw`), `graph` (`not needed`, `fresh`, `behind`, `stale`, `damaged`, `missing` or
    `no hnswlib`), `newer` (how many entries a graph that is behind lacks), `graph_memory` (bytes that a graph
    takes in a program that searches), `graph_settings` (`GraphSettings.to_dict`, or None), `bytes` (of each
    file) and `labels` (key -> `entries` that have it and different `values`).
    """
    entries = store.count()
    (graph, newer), settings = _graph_state(store, cache, entries, exact_limit), read_graph_settings(store)
    dim, m = store.facts.spec.embedding_dim, (settings.parameters if settings else DEFAULTS).m
    files = [store.folder / name for name in (ENTRIES_FILE, GRAPH_FILE, GRAPH_FACTS_FILE)]
    keys = store.facts.keys
    return {
        "entries": entries,
        "embedding_dim": dim,
        "encoder": store.facts.spec.name,
        "encoder_id": store.facts.encoder_id,
        "key_model": keys.name if keys else None,
        "key_model_id": keys.encoder_id if keys else None,
        "bundle": store.facts.bundle,
        "generation": store.version().generation,
        "search": "hnsw" if graph in ("fresh", "behind") else "exact",
        "graph": graph,
        "newer": newer,
        "graph_memory": 0 if graph == "not needed" else graph_bytes(entries, dim, m),
        "graph_settings": settings.to_dict() if settings else None,
        "bytes": {file.name: file.stat().st_size for file in files if file.exists()},
        "labels": _labels(store),
    }


def _labels(store: EntryReader) -> dict[str, dict[str, int]]:
    values: dict[str, list[str]] = {}
    for entry in store.entries():
        for key, value in entry.labels.items():
            values.setdefault(key, []).append(value)
    return {key: {"entries": len(values[key]), "values": len(set(values[key]))} for key in sorted(values)}


def _graph_state(store: EntryReader, cache: GraphCache, entries: int, exact_limit: int) -> tuple[str, int]:
    """Return the state of the graph, and how many entries are newer."""
    if entries <= exact_limit:
        return "not needed", 0
    if not hnswlib_installed():
        return "no hnswlib", 0
    with store.snapshot():
        state: str = cache.state(store.version())
        if state != "stale":
            return state, 0
        state, live = load_live_graph(cache, store, exact_limit)
    return state, len(live.ids) if live else 0
