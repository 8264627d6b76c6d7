"""Delivers saved notifications to their receivers: at least once, and in order for each alert.

The daemon owns the durable outbox. A `Courier` makes one attempt for each submitted entry and reports the outcome. The
daemon then decides and saves when the next attempt is due, with the pure functions of `alerts.outbox` and
`alerts.circuit`.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Protocol

from alerts.http import AddressRefusedError, TransportError
from alerts.outbox import OutboxEntry, Report
from alerts.outcome import Dead, Outcome, Refused, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alerts.http import Transport
    from alerts.sink import Sink


class Delivery(Protocol):
    """Makes one attempt for each submitted entry, and reports the outcome later."""

    def submit(self, entry: OutboxEntry) -> None:
        """Submits an entry for one attempt."""

    def reports(self) -> list[Report]:
        """Outcomes of the attempts that ended since the last call."""


class Courier:
    """One thread per receiver, so that a slow receiver does not delay other receivers.

    Args:
        sinks: receiver name → sink.
        transport: sends requests.
        wall: epoch seconds.
    """

    def __init__(self, sinks: Mapping[str, Sink], transport: Transport, wall: Callable[[], float]) -> None:
        self._sinks, self._transport, self._wall = sinks, transport, wall
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._queues: dict[str, queue.SimpleQueue[OutboxEntry | None]] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, entry: OutboxEntry) -> None:
        """Submits an entry for one attempt; does nothing after `close`."""
        if self._closed:
            return
        waiting = self._queues.get(entry.receiver)
        if waiting is None:
            waiting = self._queues[entry.receiver] = queue.SimpleQueue()
            name = f"deliver-{entry.receiver}"
            thread = threading.Thread(target=self._work, args=(waiting,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        waiting.put(entry)

    def reports(self) -> list[Report]:
        """Outcomes of the attempts that ended since the last call."""
        reports = []
        while True:
            try:
                reports.append(self._reports.get_nowait())
            except queue.Empty:
                return reports

    def close(self, timeout_seconds: float) -> None:
        """Waits for running attempts to finish; unfinished notifications are sent again after the next start.

        Args:
            timeout_seconds: greatest total wait for all receivers.
        """
        self._closed = True
        deadline = time.monotonic() + timeout_seconds
        for waiting in self._queues.values():
            waiting.put(None)
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _work(self, waiting: queue.SimpleQueue[OutboxEntry | None]) -> None:
        while (entry := waiting.get()) is not None:
            self._reports.put(Report(entry, self.attempt(entry)))

    def attempt(self, entry: OutboxEntry) -> Outcome:
        """Makes one attempt in the calling thread; it never raises."""
        sink = self._sinks.get(entry.receiver)
        if sink is None:
            return Dead("the receiver is no longer configured")
        try:
            return sink.attempt(entry, self._transport, self._wall)
        except AddressRefusedError as error:
            return Refused(str(error))
        except TransportError as error:
            return Retry(str(error), answered=False)
        except Exception as error:  # noqa: BLE001 - one broken receiver must not stop the others
            return Dead(type(error).__name__)
