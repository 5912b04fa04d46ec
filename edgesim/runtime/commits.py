"""The last commit of an index: SQLite is asked once a second, the file's change counter in between."""

from __future__ import annotations

import dataclasses
import time

from edgesim.runtime.change_counter import CountingConnection
from edgesim.runtime.versions import Commit

# For so many seconds the change counter is believed without asking SQLite, whose lock makes a network share
# show its present state. Our choice.
_TRUSTED = 1.0


@dataclasses.dataclass
class _Seen:
    """What SQLite and the change counter said of one commit, and until when the counter is believed."""

    others: int
    counter: bytes
    until: float


class Commits:
    """Tells whether there has been a commit, for one open connection. Raises `sqlite3.Error`."""

    def __init__(self, connection: CountingConnection) -> None:
        self._connection = connection
        self._seen: _Seen | None = None

    def last(self) -> Commit:
        """Return what another commit will change.

        In a transaction this takes its lock, so that what is read afterwards is of that commit; outside, it
        is cheap once it has been called in a transaction.
        """
        inside = self._connection.in_transaction
        if not inside and self._seen is not None and self._is_last(self._seen):
            return Commit(self._seen.others, self._connection.total_changes)
        others = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        until = time.monotonic() + _TRUSTED
        if inside:
            # The lock keeps writers out: the counter is that of a commit. Read without, it could be that of
            # one which will be undone, and the next commit would have the same number.
            counter = self._connection.change_counter()
            self._seen = None if counter is None else _Seen(others, counter, until)
        elif self._seen is not None and others == self._seen.others:
            self._seen.until = until
        return Commit(others, self._connection.total_changes)

    def _is_last(self, seen: _Seen) -> bool:
        return time.monotonic() < seen.until and self._connection.change_counter() == seen.counter
