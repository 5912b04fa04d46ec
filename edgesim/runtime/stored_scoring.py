"""What an open index keeps about its scores, which another program may change at any time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesim.runtime.index import Index
    from edgesim.runtime.scoring import Scoring

SETTING = "calibration"
# With more entries the best of those that do not match is better, and false alarms are more frequent than was
# measured. Above this many times the entries, queries say so. Our choice.
GROWTH = 2

_log = logging.getLogger("edgesim")


class StoredScoring:
    """The scoring of an open index.

    Args:
        index: the index, open.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._value: Any = None
        self._scoring: Scoring | None = None

    def current(self) -> Scoring | None:
        """Return it as it is now, None if the index is not calibrated; it is decoded when it has changed.

        Raises `IndexStoreError` if it is damaged, or was made for another encoder.
        """
        value = self._index.setting(SETTING)
        if value != self._value:
            self._scoring = None if value is None else self._read(value)
            self._value = value
            self._warn_of_growth()
        return self._scoring

    def _read(self, value: Any) -> Scoring:
        from edgesim.runtime.scoring import read_scoring  # every query comes here, and most indexes have none

        return read_scoring(self._index.folder, self._index.facts, value)

    def _warn_of_growth(self) -> None:
        if self._scoring is None or self._scoring.calibration is None:
            return
        entries = len(self._index)
        if entries > GROWTH * self._scoring.entries:
            _log.warning(
                "%s: calibrated with %d entries and has %d now, false alarms are likelier than it says; run "
                "again: edgesim calibrate %s",
                self._index.folder,
                self._scoring.entries,
                entries,
                self._index.folder,
            )
