"""Taking entries that were made elsewhere into an index: from another index, or from a file of descriptors.

Where both have a path, the entry of the file that was changed later is kept, and of equally old ones that of
the index. Its labels are kept, too; the other's are added under keys that it lacks.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgesim.errors import IndexStoreError, InputError, UsageError
from edgesim.runtime.database import exists
from edgesim.runtime.descriptor_files import read_file
from edgesim.runtime.descriptor_rows import DescriptorFile
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.entry import NewEntry
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.index import Index
from edgesim.runtime.store import EntryStore

# So many entries are taken in one commit: if it is interrupted, the same command goes on. Our choice.
_COMMIT_ENTRIES = 1_000


@dataclasses.dataclass(kw_only=True)
class TakeReport:
    """What became of entries that were to be taken.

    Attributes:
        added: new in the index.
        replaced: newer than the index's of that path.
        kept: not newer; the index kept its own.
    """

    added: int = 0
    replaced: int = 0
    kept: int = 0


def take_entries(index: Index, sources: Iterable[Sequence[NewEntry]]) -> TakeReport:
    """Take entries, each with a vector, into an index that is open for writing; brings its graph up to date.

    The caller has made sure that their vectors come from the index's encoder, or key model.
    """
    report = TakeReport()
    try:
        for entries in sources:
            for start in range(0, len(entries), _COMMIT_ENTRIES):
                part = [_to_write(index, entry, report) for entry in entries[start : start + _COMMIT_ENTRIES]]
                index.add([entry for entry in part if entry is not None])
    except IndexStoreError:  # a source is damaged; what was taken from those before it stays
        index.refresh_graph()
        raise
    index.refresh_graph()
    return report


def _to_write(index: Index, new: NewEntry, report: TakeReport) -> NewEntry | None:
    old = index.find(new.path)
    if old is None:
        report.added += 1
        return new
    if new.mtime_ns > old.mtime_ns:
        report.replaced += 1
        return new
    report.kept += 1
    missing = {key: value for key, value in new.labels.items() if key not in old.labels}
    return NewEntry.of(old, missing, None) if missing else None


def merge_indexes(into: Path, sources: Sequence[Path]) -> TakeReport:
    """Take all entries of other indexes into one, which is made if it is not there; settings stay behind.

    Raises:
        EncoderMismatchError: the vectors are not all of one encoder, or key model; nothing is taken.
        IndexStoreError: an index is missing or damaged, or is to be merged into itself.
    """
    if any(into.resolve() == source.resolve() for source in sources):
        raise IndexStoreError(f"{into}: cannot be merged into itself; name another index")
    with contextlib.ExitStack() as stack:
        stores = [
            stack.enter_context(contextlib.closing(EntryStore.open(source, read_only=True)))
            for source in sources
        ]
        facts = stores[0].facts
        if exists(into):
            with Index.open(into, read_only=True) as index:
                facts = index.facts
        for source, store in zip(sources, stores, strict=True):
            facts.check_same(into, source, store.facts.encoder_id, store.facts.keys)
        with _open_or_make(into, facts) as index:
            return take_entries(index, (read_entries(store) for store in stores))


def _open_or_make(into: Path, facts: IndexFacts) -> Index:
    if not exists(into):
        EntryStore.create(into, facts).close()
    return Index.open(into)


def import_file(into: Path, source: Path, encoder: str | None = None, unchecked: bool = False) -> TakeReport:
    """Take the entries of a file of descriptors into an index.

    Args:
        into: the index; made, for this encoder, if it is not there.
        source: see `edgesim.runtime.descriptor_files`.
        encoder: built-in or the folder of a bundle; None for the one of the index.
        unchecked: the file does not say which encoder made it, and the caller knows that it is this one.

    Raises:
        EncoderMismatchError: another encoder made the file; nothing is taken.
        InputError: the file is damaged, of another form, or its vectors have another size.
        UsageError: no encoder is named for a new index, or a file is not to be taken `unchecked`.
    """
    file = read_file(source)
    if file.encoder_id is None and not unchecked:
        raise UsageError(
            f"{source}: does not say which encoder made it; pass --unchecked if it was that of the index"
        )
    facts = _facts_for(into, encoder, file)
    facts.check_same(into, source, file.encoder_id or facts.encoder_id, file.keys)
    if file.dim != facts.spec.embedding_dim:
        raise InputError(
            f"{source}: expected vectors of {facts.spec.embedding_dim} numbers, got {file.dim}; "
            "describe the images with the index's encoder"
        )
    with _open_or_make(into, facts) as index:
        return take_entries(index, file.parts)


def _facts_for(into: Path, encoder: str | None, file: DescriptorFile) -> IndexFacts:
    bundle = None if encoder is None else open_bundle(encoder)
    if exists(into):
        with Index.open(into, bundle, read_only=True) as index:
            return index.facts
    if bundle is None:
        raise UsageError(f"{into}: no index there; name the encoder of a new one with --encoder")
    return IndexFacts.of(bundle, file.keys)


def read_entries(store: EntryStore) -> list[NewEntry]:
    """Return all entries of an index as another one may take them, in the order of their addition."""
    with store.snapshot():
        entries, (_, vectors) = store.entries(), store.vectors()
    return [NewEntry.of(entry, entry.labels, vector) for entry, vector in zip(entries, vectors, strict=True)]
