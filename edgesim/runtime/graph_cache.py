"""The search graph of a large index on disk: a cache of the entries that can be lost without harm.

    graph.hnsw   written by hnswlib
    graph.json   what it was made from, and the SHA-256 of graph.hnsw (edgesim.runtime.graph_facts)

hnswlib trusts the files that it loads, so it is given only bytes whose SHA-256 has been compared. The files
may lie behind the entries by some commits, see `edgesim.runtime.live_graph`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from edgesim.files import replacing, sha256_file, write_atomic
from edgesim.runtime.digests import vector_bytes, vector_digest
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.graph import GRAPH_FACTS_FILE, GRAPH_FILE, Graph
from edgesim.runtime.graph_facts import GraphFacts, Lag, lag_behind, made_by
from edgesim.runtime.graph_settings import read_parameters
from edgesim.runtime.reader import EntryReader
from edgesim.runtime.versions import Version

# Removed entries stay in a graph, marked; beyond this share of them it is built anew. Our choice.
MAX_REMOVED_SHARE = 0.25
# So many vectors of a graph are compared at a time.
_PART = 1000

State = Literal["fresh", "behind", "stale", "damaged", "missing"]


class GraphCache:
    """The graph files in the folder of an index."""

    def __init__(self, folder: Path, facts: IndexFacts) -> None:
        self._folder, self._facts = folder, facts

    def state(self, version: Version | None) -> State:
        """Return whether the files hold the graph of that version of the entries, or with None of any."""
        state, stream = self._open(version)
        if stream is not None:
            stream.close()
        return state

    def load(self, version: Version | None) -> tuple[State, Graph | None]:
        """Return the state of the files and, if it is fresh, the graph.

        Args:
            version: of the entries; None if another one will do.

        Raises:
            MissingDependencyError: there is a fresh graph, and hnswlib is not installed.
        """
        state, stream = self._open(version)
        if stream is None:
            return state, None
        with stream:
            # By its descriptor, so that it is the very file whose checksum was compared, even if another
            # program replaces it now.
            try:
                graph = Graph.load(f"/dev/fd/{stream.fileno()}", self._facts.spec.embedding_dim)
            except RuntimeError:
                return "damaged", None
        return state, graph

    def _open(self, version: Version | None) -> tuple[State, BinaryIO | None]:
        facts = self._read_facts()
        state, stream = self._compare(facts, version)
        if state == "damaged" and self._read_facts() != facts:
            # A writer has replaced the graph between our reading of the two files.
            return self._open(version)
        return state, stream

    def _read_facts(self) -> bytes | None:
        try:
            return (self._folder / GRAPH_FACTS_FILE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            return b""

    def _compare(self, facts: bytes | None, version: Version | None) -> tuple[State, BinaryIO | None]:
        """Return the state of the graph that `facts` describe and, if it is fresh, the open file."""
        if facts is None:
            return "missing", None
        try:
            found = GraphFacts.from_bytes(facts)
            stream = (self._folder / GRAPH_FILE).open("rb")
        except FileNotFoundError:
            return "missing", None
        except (OSError, ValueError):
            return "damaged", None
        other = version is not None and found.version.name != version.name
        if other or found.made_by != made_by(self._facts):
            stream.close()
            return "stale", None
        if hashlib.file_digest(stream, "sha256").hexdigest() != found.sha256:
            stream.close()
            return "damaged", None
        return "fresh", stream

    def lag(self, store: EntryReader) -> Lag | None:
        """Return how far the files lie behind the entries, without reading the graph; None if of no use.

        See `lag_behind`: that they are of use turns out when the graph is read.
        """
        try:
            facts = GraphFacts.from_bytes(self._read_facts() or b"")
        except ValueError:
            return None
        if facts.made_by != made_by(self._facts) or not (self._folder / GRAPH_FILE).exists():
            return None
        return lag_behind(facts.version, store)

    def refresh(self, store: EntryReader, *, anew: bool = False, allowed_lag: int = 0) -> bool:
        """Bring the files up to the entries: add and mark what has changed, or build the graph `anew`.

        Returns:
            Whether they were written: not if they hold the last commit, and not if no more than `allowed_lag`
            entries came and went since.

        Raises:
            MissingDependencyError: hnswlib is not installed.
            StorageError: they cannot be written.
        """
        if not anew:
            lag = self.lag(store)
            if lag is not None and 0 < lag.newer + lag.removed <= allowed_lag:
                return False
            if self.state(store.version()) == "fresh":
                return False
        graph = None if anew else self.load(None)[1]
        held = graph.ids() if graph else set()
        with store.snapshot():
            version = store.version()
            live = set(store.ids())
            fits = graph is not None and _can_be_updated(held, live)
            if graph is None or not fits or not holds_vectors(graph, held & live, store):
                graph, held = None, set()
            ids, vectors = store.vectors(after=max(held, default=0))
        if graph is None:
            graph = Graph.build(ids, vectors, read_parameters(store))
        else:
            graph.mark_removed(held - live)
            graph.add(ids, vectors)
        self.save(graph, version)
        return True

    def removed_share(self, store: EntryReader) -> float:
        """Return which share of the graph are removed entries; 0 if there is no fresh graph."""
        with store.snapshot():
            graph, live = self.load(store.version())[1], set(store.ids())
        held = graph.ids() if graph else live
        return len(held - live) / max(1, len(held))

    def save(self, graph: Graph, version: Version) -> None:
        """Write the graph of that version of the entries. Raises `StorageError`."""
        with replacing(self._folder / GRAPH_FILE) as stream:
            if graph.save(stream.name) != os.fstat(stream.fileno()).st_size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(stream.fileno())  # may fail, and the old graph's facts are still there
            digest = sha256_file(Path(stream.name))
            # So that facts never stand beside a graph that they do not describe: that would be damage.
            (self._folder / GRAPH_FACTS_FILE).unlink(missing_ok=True)
        facts = GraphFacts(version=version, made_by=made_by(self._facts), sha256=digest)
        write_atomic(self._folder / GRAPH_FACTS_FILE, facts.to_bytes())

    def delete(self) -> None:
        """Remove the files, where that can be done."""
        for name in (GRAPH_FACTS_FILE, GRAPH_FILE):
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()


def holds_vectors(graph: Graph, ids: set[int], store: EntryReader) -> bool:
    """Return whether a graph holds the vectors of the entries under these ids, and not others' of those ids.

    A graph that came from a copy of the index, or from another one, may hold what these files never held.
    """
    if not ids:
        return True
    digests = store.vector_digests(up_to=max(ids))
    rising = np.array(sorted(ids), dtype=np.int64)
    for part in np.array_split(rising, -(-len(rising) // _PART)):
        for entry_id, vector in zip(part.tolist(), graph.vectors(part), strict=True):
            if vector_digest(entry_id, vector_bytes(vector)) != digests.get(entry_id):
                return False
    return True


def _can_be_updated(held: set[int], live: set[int]) -> bool:
    """Return whether a graph that holds some ids is worth updating to the live ones.

    Ids rise, so any that the graph lacks must come after those that it holds.
    """
    removed, new = held - live, live - held
    in_order = not held or not new or min(new) > max(held)
    return in_order and len(removed) <= MAX_REMOVED_SHARE * len(held | live)
