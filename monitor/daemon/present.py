"""The present, to recognise rows from the future: the wall clock, which may be wrong, checked against other clocks.

A wall clock that steps back must not make a reject of every row that is written now. So the present is the greatest of

- the wall clock;
- the greatest wall clock so far, moved on by the monotonic clock: a step forward is believed at once, none back;
- the broker's own clock, where the broker writes the time of each message (``LogAppendTime``), moved on likewise.

After a step forward that was wrong, the present would stay too late for ever. So a step back is believed when a message
that has just been written bears a time near the wall clock and not near the present. Its time may be its producer's
(``CreateTime``): that is enough to choose between two clocks, but never moves the present on, for a producer whose
clock is wrong is what the check is for.

After a restart nothing is known of the clock before it. The greatest event times that were counted stand in for it:
none of them was further ahead of the present of its day than the allowed skew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.common.clock import Clock
    from monitor.rows.records import BrokerTime


class Present:
    """Keeps the present.

    Args:
        clock: wall and monotonic.
        skew: how far ahead of the present a row may be, ms; clocks that differ by less agree.
    """

    def __init__(self, clock: Clock, skew: int) -> None:
        self._clock, self._skew = clock, skew
        self._anchor, self._anchored_at = clock.now_ms(), clock.monotonic()

    def now(self) -> int:
        """The present, epoch ms."""
        moved = self._anchor + int((self._clock.monotonic() - self._anchored_at) * 1000)
        self._set(max(moved, self._clock.now_ms()))
        return self._anchor

    def _set(self, now: int) -> None:
        self._anchor, self._anchored_at = now, self._clock.monotonic()

    def counted(self, times: Iterable[int]) -> None:
        """Event times that an earlier process has counted."""
        self._set(max(self.now(), max(times, default=0) - self._skew))

    def written(self, time: BrokerTime) -> None:
        """A message bears this time, and it was written since the reader has come to the end of its partition."""
        now, wall = self.now(), self._clock.now_ms()
        if abs(time.at - wall) <= self._skew < now - time.at:
            self._set(max(wall, time.at))
        elif time.by_broker and time.at > now:
            self._set(time.at)
