"""Whether the daemon's loop makes progress: for /healthz, for the metrics page and for the supervisor's watchdog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.serve.sd_notify import WATCHDOG, notify, watchdog_interval, watchdog_timeout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.common.clock import Clock

# Number of watchdog messages within one watchdog time-out.
_FEEDS = 4


class Liveness:
    """Set by the loop after every turn; read by the threads that answer HTTP requests.

    Before the first turn, while state and references are loaded, the loop does not count as hanging.

    Args:
        clock: ``monotonic`` measures the time without progress.
        hang_after: seconds without progress after which the loop hangs.
        environment: NOTIFY_SOCKET and WATCHDOG_USEC, if a supervisor watches.
        pid: of this process.
    """

    def __init__(self, clock: Clock, hang_after: float, environment: Mapping[str, str], pid: int) -> None:
        self._clock, self._hang_after, self._environment = clock, hang_after, environment
        self._watched = watchdog_interval(environment, pid) is not None
        self._progress_at: float | None = None
        self._fed_at = -hang_after
        self.progress_timestamp: float | None = None
        """Wall clock of the last progress, epoch seconds; None before the first turn."""

    def progress(self) -> None:
        """Marks the end of a turn and notifies the watchdog. Only the loop may call it."""
        now = self._clock.monotonic()
        if self._progress_at is None and self._watched:
            # The configuration, not the systemd unit, decides how long a turn may take.
            notify(self._environment, watchdog_timeout(self._hang_after))
        self._progress_at, self.progress_timestamp = now, self._clock.wall()
        if self._watched and now - self._fed_at >= self._hang_after / _FEEDS:
            notify(self._environment, WATCHDOG)
            self._fed_at = now

    def fault(self) -> str:
        """Why the loop counts as hanging; empty while it makes progress."""
        progress_at = self._progress_at
        if progress_at is None:
            return ""
        silent = self._clock.monotonic() - progress_at
        return f"the loop has made no progress for {silent:.0f} s" if silent > self._hang_after else ""
