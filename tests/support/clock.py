"""A clock that stands still until a test moves it."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.common.clock import Clock


@dataclass
class FakeTime:
    """The wall clock and the monotonic clock are one number, in seconds."""

    now: float = 1_700_000_000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now, lambda: self.now, lambda _: None)
