"""Adding the images that appear in a folder, each when it is complete.

The folder is looked at again and again, which works on network shares, too, where the system tells of no
change.
"""

from __future__ import annotations

import dataclasses
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgesim.errors import InputError
from edgesim.files import images_below
from edgesim.runtime.entry import entry_path
from edgesim.runtime.ingest import AddReport
from edgesim.runtime.matcher import Matcher

# So many files are added before a wish to stop is heeded. Our choice.
_BATCH = 64
# A large index's search graph is a file of tens of megabytes: it is written so seldom at most, in seconds;
# searches in between compare with what it lacks. Our choice.
_GRAPH_SECONDS = 600.0


@dataclasses.dataclass
class _File:
    """A file as it was found: since when it has had this size and time, and whether it was taken so."""

    size: int
    mtime_ns: int
    since: float
    taken: bool = False


class FolderWatch:
    """What changes in folders, as `poll` finds it.

    Args:
        folders: looked at with all folders below; hidden ones and files are passed over.
        quiet: for how many seconds a file must have kept its size and time to be complete.
    """

    def __init__(self, folders: Sequence[Path], quiet: float) -> None:
        self._folders, self._quiet = folders, quiet
        self._files: dict[Path, _File] = {}
        self._gone: dict[Path, float] = {}

    def poll(self, now: float) -> list[Path]:
        """Look at all files at a time in seconds; return those that have become complete, sorted.

        An empty file is never complete. One that was returned is so again when it has changed.
        """
        found, complete = {}, []
        for path in sorted({path for folder in self._folders for path in images_below(folder)}):
            try:
                status = path.stat()
            except OSError:  # gone again, or not there for the moment
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            file = self._files.get(path)
            if file is None or (file.size, file.mtime_ns) != (status.st_size, status.st_mtime_ns):
                file = _File(status.st_size, status.st_mtime_ns, now)
            found[path] = file
            if not file.taken and file.size > 0 and now - file.since >= self._quiet:
                file.taken = True
                complete.append(path)
        for path in self._files.keys() - found.keys():
            self._gone.setdefault(path, now)
        self._files = found
        return complete

    def removed(self, now: float) -> list[Path]:
        """Return the files that `poll` has not found any more for a while, sorted.

        Each once. A folder in which it finds no image at all counts for one on a share that is not there for
        the moment.
        """
        there = {path.parent for path in self._files}
        gone = {path: since for path, since in self._gone.items() if path not in self._files}
        removed = sorted(p for p, since in gone.items() if now - since >= self._quiet and p.parent in there)
        self._gone = {path: since for path, since in gone.items() if path not in removed}
        return removed


def watch(
    matcher: Matcher,
    folders: Sequence[Path],
    stop: threading.Event,
    report: Callable[[AddReport], None],
    *,
    labels: Mapping[str, str] | None = None,
    quiet: float = 3.0,
    every: float = 1.0,
    remove: Callable[[int], None] | None = None,
) -> None:
    """Add the images in folders, and those that come, until `stop` is set.

    Args:
        matcher: open for writing.
        folders: see `FolderWatch`.
        stop: heeded between two batches, and at once while nothing is to be done.
        report: called with what became of each batch of files.
        labels: for all these images.
        quiet: see `FolderWatch`.
        every: how many seconds lie between two looks.
        remove: also remove the entries of files that disappear meanwhile, see `FolderWatch.removed`; called
            with how many. None: they stay.

    Raises:
        InputError: a folder is not there at the start; later it may come and go.
        StorageError: the disk is full or failing.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
    changes, graph_due = FolderWatch(folders, quiet), time.monotonic()
    stale = False
    while not stop.is_set():
        complete = changes.poll(time.monotonic())
        for start in range(0, len(complete), _BATCH):
            if stop.is_set():
                break
            report(matcher.add_files(complete[start : start + _BATCH], labels, refresh_graph=False))
            stale = True
        if remove is not None and (gone := changes.removed(time.monotonic())):
            known = [path for path in gone if matcher.index.find(entry_path(path)) is not None]
            if known:
                remove(matcher.index.remove(known))
                stale = True
        if stale and time.monotonic() >= graph_due:
            matcher.index.refresh_graph()
            stale, graph_due = False, time.monotonic() + _GRAPH_SECONDS
        stop.wait(every)
    if stale:
        matcher.index.refresh_graph()
