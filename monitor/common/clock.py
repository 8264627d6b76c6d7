"""Time, passed in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """``wall``: epoch seconds, may jump. ``monotonic``: seconds, never jumps. ``wait``: sleeps for some seconds."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    wait: Callable[[float], object]

    def now_ms(self) -> int:
        """Wall clock, epoch milliseconds."""
        return int(self.wall() * 1000)


def system_clock() -> Clock:
    """The clock of this machine."""
    return Clock(time.time, time.monotonic, time.sleep)
