"""Reading the entries that a filter over labels selects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgesim.runtime.change_counter import CountingConnection
from edgesim.runtime.database import damaged
from edgesim.runtime.digests import vector_digest
from edgesim.runtime.entry import Entry
from edgesim.runtime.reader import EntryReader
from edgesim.runtime.rows import stored_digests

if TYPE_CHECKING:
    from edgesim.runtime.label_filter import LabelFilter


class FilteredReader(EntryReader):
    """An `EntryReader` that also selects by labels."""

    def __init__(self, folder: Path, connection: CountingConnection) -> None:
        super().__init__(folder, connection)
        self._functions_defined = self._facts_compared = False

    def ids_where(self, where: LabelFilter) -> list[int]:
        """Return the ids of the entries that a filter selects, rising."""
        with self.snapshot():
            self._prepare()
            query = f"SELECT id FROM entries WHERE {where.sql} ORDER BY id"
            return [row[0] for row in self._connection.execute(query, where.values)]

    def vectors_where(self, where: LabelFilter) -> NDArray[np.float32]:
        """Return the vectors (N, D) of the entries that a filter selects, in the order of `ids_where`."""
        with self.snapshot():
            self._prepare()
            checksum = "NULL" if self.format_version == 1 else "vector_digest"
            query = f"SELECT id, vector, {checksum} FROM entries WHERE {where.sql} ORDER BY id"
            rows = self._connection.execute(query, where.values).fetchall()
        for entry_id, vector, written in rows:
            if written is not None and self._sum(vector_digest, [(entry_id, vector)]) != written:
                raise damaged(self.folder, f"the vector of entry {entry_id}")
        return self._to_array([row[1] for row in rows])

    def entries_where(self, where: LabelFilter) -> list[Entry]:
        """Return the entries that a filter selects, by rising id."""
        with self.snapshot():
            self._prepare()
            return [self._checked(row).entry for row in self.rows(f"WHERE {where.sql}", *where.values)]

    def _prepare(self) -> None:
        if not self._functions_defined:
            from edgesim.runtime.label_filter import define_functions

            define_functions(self._connection)
            self._functions_defined = True
        self.compare_facts()

    def compare_facts(self) -> None:
        """Compare all labels, once: a filter passes an entry over whose label is damaged."""
        if self._facts_compared or (tally := self.tally()) is None:
            return
        total = count = 0
        try:
            for entry_id, written, expected in stored_digests(self._connection):
                if written != expected:
                    raise damaged(self.folder, f"entry {entry_id}")
                total, count = total + written, count + 1
        except (TypeError, AttributeError) as error:  # a value of another type
            raise damaged(self.folder, error) from error
        if (count, total) != (tally.entries, tally.facts):
            raise damaged(self.folder, "the entries are not those that were written")
        self._facts_compared = True
