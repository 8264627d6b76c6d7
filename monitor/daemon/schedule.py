"""When regular work of the loop is due, by a clock that never jumps."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Tick(Enum):
    """Work that is due."""

    CHECKPOINT = "checkpoint"
    BACKUP = "backup"


class Schedule:
    """Ticks at fixed intervals; one that the loop was too busy for comes once, not several times.

    Args:
        intervals: tick → seconds.
        monotonic: seconds, never jumps: the wall clock may be set back by hours, and checkpoints must go on.
    """

    def __init__(self, intervals: Mapping[Tick, float], monotonic: Callable[[], float]) -> None:
        self._intervals, self._monotonic = dict(intervals), monotonic
        now = monotonic()
        self._last = dict.fromkeys(self._intervals, now)

    def due(self) -> frozenset[Tick]:
        """The ticks that have come since the last call."""
        now = self._monotonic()
        ticks = frozenset(tick for tick, seconds in self._intervals.items() if now - self._last[tick] >= seconds)
        self._last |= dict.fromkeys(ticks, now)
        return ticks
