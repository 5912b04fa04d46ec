"""Figures about an index."""

from __future__ import annotations

from typing import Any

from edgesim.runtime.database import ENTRIES_FILE
from edgesim.runtime.graph import hnswlib_installed
from edgesim.runtime.graph_cache import GRAPH_FACTS_FILE, GRAPH_FILE, GraphCache
from edgesim.runtime.graph_settings import read_graph_settings
from edgesim.runtime.reader import EntryReader


def index_stats(store: EntryReader, cache: GraphCache, exact_limit: int) -> dict[str, Any]:
    """Return figures about an index, in plain JSON types.

    `entries`, `embedding_dim`, `encoder`, `encoder_id`, `key_model` and `key_model_id` (None where the
    vectors come from the encoder), `bundle`, `generation` (commits that changed the vectors), `search`
    (`exact` or `hnsw`), `graph` (`not needed`, `fresh`, `stale`, `damaged`, `missing` or `no hnswlib`),
    `graph_settings` (`GraphSettings.to_dict`, or None),
    `bytes` (of each file) and `labels` (key -> `entries` that have it and different `values`).
    """
    entries = store.count()
    graph, settings = _graph_state(store, cache, entries > exact_limit), read_graph_settings(store)
    files = [store.folder / name for name in (ENTRIES_FILE, GRAPH_FILE, GRAPH_FACTS_FILE)]
    labels = store.label_counts()
    keys = store.facts.keys
    return {
        "entries": entries,
        "embedding_dim": store.facts.spec.embedding_dim,
        "encoder": store.facts.spec.name,
        "encoder_id": store.facts.encoder_id,
        "key_model": keys.name if keys else None,
        "key_model_id": keys.encoder_id if keys else None,
        "bundle": store.facts.bundle,
        "generation": store.version().generation,
        "search": "hnsw" if graph == "fresh" else "exact",
        "graph": graph,
        "graph_settings": settings.to_dict() if settings else None,
        "bytes": {file.name: file.stat().st_size for file in files if file.exists()},
        "labels": {key: {"entries": count, "values": values} for key, (count, values) in labels.items()},
    }


def _graph_state(store: EntryReader, cache: GraphCache, needed: bool) -> str:
    if not needed:
        return "not needed"
    if not hnswlib_installed():
        return "no hnswlib"
    return cache.state(store.version())
