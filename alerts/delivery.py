"""Brings saved notifications to their receivers: at least once, in order for each alert, however long it takes.

The outbox is durable and belongs to the daemon. A `Courier` makes one attempt with what it is handed and
reports what came of it; when the next one is due is decided, and saved, by the daemon with the pure functions
of `alerts.outbox` and `alerts.circuit`.
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
    """Takes saved entries for one attempt each, and reports later how it ended."""

    def submit(self, entry: OutboxEntry) -> None:
        """Hands over an entry for one attempt."""

    def reports(self) -> list[Report]:
        """What has come of attempts since the last call."""


class Courier:
    """One thread a receiver, so that a slow one holds up nobody else.

    Args:
        sinks: receiver name → sink.
        transport: sends requests.
        wall: epoch seconds.
    """

    def __init__(self, sinks: Mapping[str, Sink], transport: Transport, wall: Callable[[], float]) -> None:
        self._sinks, self._transport, self._wall = sinks, transport, wall
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._desks: dict[str, queue.SimpleQueue[OutboxEntry | None]] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, entry: OutboxEntry) -> None:
        """Hands over an entry for one attempt; after `close` nothing is attempted any more."""
        if self._closed:
            return
        desk = self._desks.get(entry.receiver)
        if desk is None:
            desk = self._desks[entry.receiver] = queue.SimpleQueue()
            name = f"deliver-{entry.receiver}"
            thread = threading.Thread(target=self._work, args=(desk,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        desk.put(entry)

    def reports(self) -> list[Report]:
        """What has come of attempts since the last call."""
        reports = []
        while True:
            try:
                reports.append(self._reports.get_nowait())
            except queue.Empty:
                return reports

    def close(self, timeout_seconds: float) -> None:
        """Lets attempts under way finish for a while; what does not is sent again after the next start.

        Args:
            timeout_seconds: for all receivers together, however many hang.
        """
        self._closed = True
        deadline = time.monotonic() + timeout_seconds
        for desk in self._desks.values():
            desk.put(None)
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _work(self, desk: queue.SimpleQueue[OutboxEntry | None]) -> None:
        while (entry := desk.get()) is not None:
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
