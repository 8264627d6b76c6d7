"""How far judging is behind what has been read, and about when it will have caught up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

_SPAN_SECONDS = 60.0
"""The rate of the last minute counts."""
_FIRST_SECONDS, _AGAIN_SECONDS = 10.0, 60.0
"""Reported after so long, and again after so long."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where judging stands.

    Attributes:
        busy: rows are read whose windows are not judged yet.
        behind_ms: event time that all partitions have reached and that is not judged yet, ms.
        waiting: messages that are not counted yet.
        seconds: until nothing waits, at the rate of the last minute; None while that is unknown.
    """

    busy: bool = False
    behind_ms: int = 0
    waiting: int = 0
    seconds: float | None = 0.0


class CatchUp:
    """Follows a backlog."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._since: float | None = None
        self._reported: float | None = None

    def observe(
        self, now: float, *, busy: bool, counted: int, waiting: int, behind_ms: int
    ) -> tuple[Progress, Literal["", "behind", "caught up"]]:
        """The progress, and whether the log is to report it.

        Args:
            now: monotonic seconds.
            busy: the last turn left off before everything that was due had been judged.
            counted: messages counted since the process began.
            waiting: messages that are not counted yet.
            behind_ms: event time that is read but not judged, ms.
        """
        self._samples.append((now, counted))
        while now - self._samples[0][0] > _SPAN_SECONDS:
            self._samples.popleft()
        progress = Progress(busy, behind_ms, waiting, self._seconds(busy, waiting))
        if not busy:
            reported, self._since, self._reported = self._reported, None, None
            return progress, "" if reported is None else "caught up"
        self._since = now if self._since is None else self._since
        last = self._reported
        if now - self._since < _FIRST_SECONDS or (last is not None and now - last < _AGAIN_SECONDS):
            return progress, ""
        self._reported = now
        return progress, "behind"

    def _seconds(self, busy: bool, waiting: int) -> float | None:
        if not busy or not waiting:
            return 0.0
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        return waiting * (end - begin) / (last - first) if last > first and end > begin else None
