"""Decides after a failed turn: repeat it, halve its batch, set aside the row that fails by itself, or stop.

A failure is an unknown error, of leewayd or of a library. What is in memory can then not be
trusted, so the daemon starts again from its last checkpoint, and the turn is repeated. If it fails again, every step
takes in half as many rows as the one that failed, and is saved by itself, until one row is left. That row is to blame
only if the step succeeds without it, its event time given: else it is set aside for a fault that is not its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from monitor.rows.records import Partition


class RowPlace(NamedTuple):
    """One row, by its message's offset and its place within the message; None: the message as a whole."""

    partition: Partition
    offset: int
    within: int | None


@dataclass(frozen=True, slots=True)
class Caution:
    """How the next steps are made.

    Attributes:
        limit: the most rows that a step takes in; None for no limit. Every step with a limit is saved by itself.
        trial: a row whose content is left out while its event time counts, to learn whether the step then succeeds;
            such a step is never saved.
        aside: rows that are rejected.
    """

    limit: int | None = None
    trial: RowPlace | None = None
    aside: frozenset[RowPlace] = frozenset()


@dataclass(frozen=True, slots=True)
class Attempt:
    """The rows taken in since the last checkpoint when a turn failed: their number, and the last one."""

    rows: int
    last: RowPlace | None


class Recovery:
    """Decides, failure by failure, how to go on."""

    def __init__(self) -> None:
        self.caution = Caution()
        self._failures = 0
        self._ceiling = 1

    @property
    def careful(self) -> bool:
        """Whether steps are to be saved one by one."""
        return self.caution.limit is not None

    @property
    def failing(self) -> bool:
        """Whether a turn has failed and nothing has been saved since."""
        return self._failures > 0

    def failed(self, attempt: Attempt) -> bool:
        """Takes in that a turn has failed; False if it would fail without any row: then the process must stop."""
        if self.caution.trial is not None:
            return False
        self._failures += 1
        if self._failures == 1:
            return True
        if attempt.last is None or attempt.rows < 1:
            return False
        if attempt.rows == 1:
            self.caution = replace(self.caution, limit=1, trial=attempt.last)
        else:
            self._ceiling = max(self._ceiling, attempt.rows)
            self.caution = replace(self.caution, limit=attempt.rows // 2)
        return True

    def succeeded(self, attempt: Attempt) -> RowPlace | None:
        """Takes in that a step has succeeded, and was saved unless it was a trial; gives the row that is at fault.

        After a trial the daemon must start again from its last checkpoint.
        """
        trial, limit = self.caution.trial, self.caution.limit
        if trial is not None:
            passed = attempt.last is not None and attempt.last[:2] == trial[:2]
            aside = self.caution.aside | {trial} if passed else self.caution.aside
            self.caution = replace(self.caution, trial=None, aside=aside)
            return trial if passed else None
        if limit is None or 2 * limit >= self._ceiling:
            self.caution, self._failures, self._ceiling = Caution(), 0, 1
        else:
            self.caution = replace(self.caution, limit=2 * limit)
        return None
