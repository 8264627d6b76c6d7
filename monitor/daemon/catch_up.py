"""How far judging is behind what has been read, and about when it will have caught up."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from alerts.moments import rfc3339
from monitor.serve.snapshot import Progress

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from monitor.common.clock import Clock

_SPAN_SECONDS = 60.0
"""The rate of the last minute counts."""
_FIRST_SECONDS, _AGAIN_SECONDS = 10.0, 60.0
"""Reported after so long, and again after so long."""


class CatchUp:
    """Follows a backlog, and reports one that takes long in the log."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._samples: deque[tuple[float, int]] = deque()
        self._since: float | None = None
        self._reported: float | None = None

    def observe(self, clock: Clock, *, busy: bool, counted: int, waiting: int, behind_ms: int) -> Progress:
        """The progress now.

        Args:
            clock: time.
            busy: the last turn left off before everything that was due had been judged.
            counted: messages counted since the process began.
            waiting: messages that are not counted yet.
            behind_ms: event time that is read but not judged, ms.
        """
        now = clock.monotonic()
        self._samples.append((now, counted))
        while now - self._samples[0][0] > _SPAN_SECONDS:
            self._samples.popleft()
        progress = Progress(busy, behind_ms, waiting, self._seconds(busy, waiting))
        if not busy:
            if self._reported is not None:
                self._log.info("judging has caught up")
            self._since = self._reported = None
            return progress
        self._since = now if self._since is None else self._since
        last = self._reported
        if now - self._since >= _FIRST_SECONDS and (last is None or now - last >= _AGAIN_SECONDS):
            self._reported = now
            left = progress.seconds
            self._log.warning(
                "judging is behind",
                messages=waiting,
                event_time_seconds=behind_ms / 1000,
                done_at=None if left is None else rfc3339(clock.now_ms() + int(left * 1000)),
            )
        return progress

    def _seconds(self, busy: bool, waiting: int) -> float | None:
        if not busy or not waiting:
            return 0.0
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        return waiting * (end - begin) / (last - first) if last > first and end > begin else None
