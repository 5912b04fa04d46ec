"""Naming entries of an index: by path, by id, by their labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from edgesim.errors import UsageError
from edgesim.runtime.entry import entry_path
from edgesim.runtime.label_filter import LabelFilter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Some entries: those named by path or id, of them those that a filter selects.

    Attributes:
        paths: absolute, of files or of folders around them.
        ids: of entries.
        where: with neither paths nor ids it selects among all entries.
    """

    paths: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    where: LabelFilter | None = None

    @classmethod
    def of(
        cls,
        paths: Iterable[str | Path] = (),
        ids: Iterable[int] = (),
        where: str | LabelFilter | None = None,
    ) -> Selection:
        """Return a selection by paths, which may be relative. Raises `UsageError` for one of nothing."""
        where = LabelFilter.of(where)
        selection = cls(paths=tuple(entry_path(path) for path in paths), ids=tuple(ids), where=where)
        if not selection.paths and not selection.ids and where is None:
            raise UsageError("which entries? Name a PATH, an id (--id) or what labels must satisfy (--where)")
        return selection


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelChange:
    """Labels to give to some entries, and keys of those to take away, which is done first."""

    selection: Selection
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    removed: Collection[str] = ()
