"""Adding images to an index: each file read once, committed often, nothing added twice."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import stat
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.capacity import memory_bytes, usable_cores
from edgesim.errors import ImageError, UsageError
from edgesim.runtime.entry import Entry, NewEntry, check_labels, entry_path
from edgesim.runtime.index import Index
from edgesim.runtime.keys import ImageEmbedder

# A commit after so many images, or so many seconds: what a power cut costs at most. Each commit waits for the
# disk, on an SD card tens of milliseconds. Our choice.
COMMIT_IMAGES = 64
COMMIT_SECONDS = 2.0
# Read into memory whole. No image of `edgesim.image_limits.MAX_PIXELS` needs more, with four bytes a pixel.
MAX_FILE_BYTES = 200_000_000
# A picture takes up to 250 MB while it is decoded (`edgesim.image_limits.MAX_BYTES`), beside its file: one at
# a time is what a board of 512 MB or 1 GB can spare. Our choice.
_MEMORY_A_JOB = 10**9


@dataclasses.dataclass(kw_only=True)
class AddReport:
    """What became of the images that were to be added.

    Attributes:
        added: new in the index.
        unchanged: there already, with that content and those labels.
        updated: there already, with another content or other labels.
        skipped: path and reason, for each that cannot be used.
    """

    added: int = 0
    unchanged: int = 0
    updated: int = 0
    skipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def default_jobs() -> int:
    """Return how many images to read at a time: one for each core, but for each gigabyte of memory, too."""
    memory, cores = memory_bytes(), usable_cores()
    return cores if memory is None else max(1, min(cores, memory // _MEMORY_A_JOB))


def add_images(
    index: Index,
    embedder: ImageEmbedder,
    paths: Sequence[Path],
    labels: Mapping[str, str],
    progress: bool = False,
    *,
    refresh_graph: bool = True,
    jobs: int | None = None,
) -> AddReport:
    """Add image files to an index, or bring their entries up to date.

    An image is known by its absolute path. A file of the same size and time as before is not read again; one
    with another content gets a new vector and keeps its labels. The same content elsewhere is its own entry.

    Args:
        index: opened for writing.
        embedder: the encoder that made the index, or its key model.
        paths: files; folders are expanded by `edgesim.files.find_images`.
        labels: merged with the labels that an entry has.
        progress: show a progress bar if stderr is a terminal.
        refresh_graph: bring the search graph of a large index up to date at the end.
        jobs: how many images are read and decoded at a time, which is most of the work; by default
            `default_jobs`. What the index becomes does not depend on it.

    Raises:
        UsageError: a label is not valid UTF-8, or `jobs` is not at least 1.
        StorageError: the disk is full or read-only; the message says how many entries are committed.
        KeyboardInterrupt: Ctrl-C; what was committed before stays, nothing else; the message says how much.
    """
    check_labels(labels)
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs: expected 1 or more, got {jobs}")
    run = _Run(index, embedder, labels)
    names = list(dict.fromkeys(entry_path(path) for path in paths))
    try:
        files = run.read_all(_with_progress(names, progress), min(jobs or default_jobs(), len(names)))
        with contextlib.closing(files):
            for file in files:
                run.take(file)
        run.commit()
        if refresh_graph:
            index.refresh_graph()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; {len(index)} entries are committed in {index.folder}, "
            "run the same command again to go on"
        ) from None
    return run.report


def _with_progress(paths: list[str], progress: bool) -> Iterable[str]:
    if not progress:
        return paths
    from tqdm import tqdm

    return tqdm(paths, unit="image", disable=None)


@dataclasses.dataclass
class _File:
    """A file that is to be added, and what reading it came to.

    Attributes:
        path: of the file.
        old: its entry, if there is one.
        entry: what there is to write about it, but for the vector; None if nothing is.
        pixels: (S, S, 3) uint8, what the encoder is to see; None if the content is the one that is there.
        refused: why it cannot be used.
    """

    path: str
    old: Entry | None
    entry: NewEntry | None = None
    pixels: NDArray[np.uint8] | None = None
    refused: ImageError | None = None


class _Run:
    """One run of `add_images`: collects entries, and commits them in batches."""

    def __init__(self, index: Index, embedder: ImageEmbedder, labels: Mapping[str, str]) -> None:
        self.report = AddReport()
        self._index, self._embedder, self._labels = index, embedder, dict(labels)
        self._batch: list[NewEntry] = []
        self._last_commit = time.monotonic()

    def read_all(self, paths: Iterable[str], jobs: int) -> Generator[_File]:
        """Read the files, so many at a time, and yield them in the order of the paths."""
        # Here and now, not in the threads: SQLite's connection is for use in one.
        files = (_File(path, self._index.find(path)) for path in paths)
        if jobs <= 1:
            for file in files:
                yield self._read(file)
            return
        from edgesim.ahead import ahead  # a single image is spared its import

        yield from ahead(self._read, files, jobs)

    def take(self, file: _File) -> None:
        """Take what was read of one file; commit if it is time."""
        if file.refused is not None:
            self.report.skipped.append((file.path, str(file.refused).removeprefix(f"{file.path}: ")))
            return
        entry = file.entry
        if entry is not None and file.pixels is not None:
            entry = dataclasses.replace(entry, vector=self._embedder.embed_pixels(file.pixels[None])[0])
        self._count(entry, file.old)
        if entry is not None:
            self._batch.append(entry)
        if len(self._batch) >= COMMIT_IMAGES or time.monotonic() - self._last_commit > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Write what has been collected, in one commit."""
        if self._batch:
            self._index.add(self._batch)
        self._batch = []
        self._last_commit = time.monotonic()

    def _read(self, file: _File) -> _File:
        """Find out what there is to write about a file; in any thread."""
        try:
            self._compare(file, _status(file.path))
        except ImageError as error:
            file.refused = error
        return file

    def _compare(self, file: _File, status: os.stat_result) -> None:
        """Compare a file with its entry. Raises `ImageError`."""
        old = file.old
        known = old is not None and (old.size, old.mtime_ns) == (status.st_size, status.st_mtime_ns)
        if old is not None and known:
            if self._labelled(old):
                return
            digest = old.sha256
        else:
            content = _content(file.path)
            digest = hashlib.sha256(content).hexdigest()
            if old is None or digest != old.sha256:
                file.pixels = self._embedder.load(content, name=file.path)
        file.entry = NewEntry(
            path=file.path,
            sha256=digest,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            labels=self._labels,
            vector=None,
        )

    def _labelled(self, entry: Entry) -> bool:
        return entry.labels.items() >= self._labels.items()

    def _count(self, entry: NewEntry | None, old: Entry | None) -> None:
        if old is None:
            self.report.added += 1
        elif entry is None or (entry.vector is None and self._labelled(old)):
            self.report.unchanged += 1
        else:
            self.report.updated += 1


def _status(path: str) -> os.stat_result:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path}: not a file")
    if status.st_size > MAX_FILE_BYTES:
        raise ImageError(f"{path}: larger than {MAX_FILE_BYTES // 1_000_000} MB, refused unread")
    return status


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from error
