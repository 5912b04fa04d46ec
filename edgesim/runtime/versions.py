"""Names for the states of an index: what a reader compares to know whether there was a commit."""

from __future__ import annotations

from typing import NamedTuple


class Version(NamedTuple):
    """One state of the set of vectors.

    Attributes:
        generation: how many commits have changed it.
        vectors: the sum of the checksums, which tells sets apart that grew from one copy; None in an index of
            format 1.
        entries, next_id: as in `Tally`; 0 in an index of format 1.
    """

    generation: int
    vectors: int | None = None
    entries: int = 0
    next_id: int = 0

    @property
    def name(self) -> tuple[int, int | None]:
        """What no other state has in common with it."""
        return self.generation, self.vectors


class Commit(NamedTuple):
    """Tells whether there has been a commit since; of use for one open reader only.

    Attributes:
        others: counts those of other connections, as SQLite sees them.
        own: counts the rows that this connection has changed.
    """

    others: int
    own: int
